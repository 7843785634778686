from ....server.core.formats.format import *
