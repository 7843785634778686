from ....server.core.protocol.error_codes import *
