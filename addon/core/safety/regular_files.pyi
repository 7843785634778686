from ....server.core.safety.regular_files import *
