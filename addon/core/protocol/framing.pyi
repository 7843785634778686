from ....server.core.protocol.framing import *
