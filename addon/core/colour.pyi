from ...server.core.colour import *
