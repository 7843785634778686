"""The sections of `scripts/benchmark.py`: each a module or a package with `__main__`, run as `python -m`."""
