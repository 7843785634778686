from ....server.core.formats import *
