from ....server.core.formats.splat_ply import *
