from ....server.core.formats.axes import *
