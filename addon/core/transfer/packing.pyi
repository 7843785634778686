from ....server.core.transfer.packing import *
