from ...server.core.gaussians import *
