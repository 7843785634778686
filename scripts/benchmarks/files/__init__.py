"""Measures people's files: what is read of them, and how exactly it is shown."""
