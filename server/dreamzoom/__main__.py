"""`python -m dreamzoom`: the command line."""

import sys

from dreamzoom.cli import main

if __name__ == "__main__":
    sys.exit(main())
