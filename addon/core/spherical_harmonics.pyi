from ...server.core.spherical_harmonics import *
