from ....server.core.protocol.result import *
