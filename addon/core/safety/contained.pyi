from ....server.core.safety.contained import *
