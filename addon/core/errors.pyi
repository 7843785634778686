from ...server.core.errors import *
