from ...server.core.quaternions import *
