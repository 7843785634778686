from ...server.core.fading import *
