from ...server.core.reach import *
