from ...server.core.camera import *
