from .....server.core.formats.sog.pictures import *
