from ....server.core.protocol.messages import *
