from ....server.core.safety.png_header import *
