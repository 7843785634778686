from ...server.core.step_times import *
