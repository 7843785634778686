from ....server.core.camera_files import *
