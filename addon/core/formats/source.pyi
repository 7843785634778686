from ....server.core.formats.source import *
