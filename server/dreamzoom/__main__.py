"""`python -m dreamzoom`: the command line."""

import sys

from dreamzoom import parent_watch

if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        parent_watch.start()  # before large modules are imported: the client may die meanwhile
    from dreamzoom.cli import main

    sys.exit(main())
