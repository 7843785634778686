from ....server.core.safety.seal import *
