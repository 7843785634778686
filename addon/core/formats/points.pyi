from ....server.core.formats.points import *
