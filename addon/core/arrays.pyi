from ...server.core.arrays import *
