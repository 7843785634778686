from ...server.core.atomic_files import *
