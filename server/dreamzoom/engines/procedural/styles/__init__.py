"""The styles of the world. Each module has a compiled height and a material function, which depend only on position.

To add a style: a module here, its name in `parameters.STYLES`, a look in `moods`, words in `vocabulary`, and a line
each in `heightfields` and `surface`.
"""
