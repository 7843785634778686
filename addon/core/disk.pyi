from ...server.core.disk import *
