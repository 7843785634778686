"""The styles of the world, compiled: each module gives a height and a look, as functions of the place alone.

A new style is a module here, its name in `recipe`, a mood in `moods`, words in `vocabulary`, and a line each in
`heightfields` and `surface`.
"""
