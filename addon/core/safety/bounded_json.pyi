from ....server.core.safety.bounded_json import *
