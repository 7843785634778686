from ...server.core.prompt_words import *
