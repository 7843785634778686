"""What the add-on shares with the server: `core` in the server's folder, imported from there under this package's name.

The server's folder lies inside the installed extension, and beside `addon/` in a clone. The `.pyi` files here tell type
checkers where a module of it is; a further one that the add-on imports gets its line likewise.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_SERVER = _PACKAGE / "server" if (_PACKAGE / "server").is_dir() else _PACKAGE.parent / "server"
__path__ = [str(_SERVER / "core")]
