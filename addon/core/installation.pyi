from ...server.core.installation import *
