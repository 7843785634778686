"""Engines: what imagines. `base` says what every engine offers, `registry` which there are, each has its own folder."""
