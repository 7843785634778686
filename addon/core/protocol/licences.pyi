from ....server.core.protocol.licences import *
