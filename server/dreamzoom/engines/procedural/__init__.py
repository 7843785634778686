"""A procedural world with detail at every scale, controlled by the words of the prompts."""
