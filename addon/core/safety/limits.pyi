from ....server.core.safety.limits import *
