from ....server.core.transfer.partial import *
