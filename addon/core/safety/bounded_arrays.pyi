from ....server.core.safety.bounded_arrays import *
