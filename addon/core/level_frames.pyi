from ...server.core.level_frames import *
