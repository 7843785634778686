from ....server.core.protocol.versions import *
