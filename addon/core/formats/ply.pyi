from ....server.core.formats.ply import *
