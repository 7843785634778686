from ....server.core.protocol.prompt_weights import *
