from ....server.core.protocol.model_offers import *
