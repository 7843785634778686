"""The kernels' sources, for numba's CUDA compiler and its simulator.

Only scripts/build_ptx.py and the tests import this package; the server launches the PTX compiled from it. Names and
arguments of the kernels are listed in `layout.SIGNATURES`. All arrays are contiguous.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import tokenize
from pathlib import Path

from dreamzoom.splats.cuda.layout import SIGNATURES

PACKAGE = __name__.partition(".")[0]

MODULES = {
    "adam": "fitting",
    "add_pieces": "backward",
    "blur_products": "fitting",
    "blur_rows": "fitting",
    "chain": "parameters",
    "count_tiles": "tiles",
    "fill_tiles": "tiles",
    "forward": "forward",
    "gather_rows": "backward",
    "loss_gradient": "fitting",
    "overflow": "forward",
    "probe": "tiles",
    "project": "parameters",
    "shade": "parameters",
    "shares": "backward",
    "slopes": "backward",
    "spread": "backward",
    "ssim": "fitting",
}


def kernel(name: str):
    """The kernel of that name, as `numba.cuda.jit` made it."""
    return getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)


def digest() -> str:
    """SHA-256 of all that the PTX depends on: the modules here, borrowed functions, and the constants of both."""
    from dreamzoom.splats.cuda.kernels.device import BORROWED

    for name in SIGNATURES:
        kernel(name)
    told = [repr(sorted(SIGNATURES.items()))]
    for file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        told += _code(file.read_text(encoding="utf-8"))
        told += _constants(vars(importlib.import_module(f"{__name__}.{file.stem}")))
    for function in sorted(BORROWED, key=lambda function: (function.__qualname__, inspect.getsource(function))):
        told += _code(inspect.getsource(function))
        told += _constants({name: function.__globals__.get(name) for name in function.__code__.co_names})
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _code(text: str) -> list[str]:
    """The tokens of Python source, without comments, docstrings and imports of this package, which may change freely.

    The imported functions and constants enter the digest themselves, so modules can be moved.
    """
    told: list[str] = []
    statement: list[str] = []
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL):
            continue
        starts = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        if not (token.type == tokenize.STRING and starts):
            statement.append(token.string)
        if token.type == tokenize.NEWLINE:
            told += [] if len(statement) == 1 or statement[:2] == ["from", PACKAGE] else statement
            statement = []
        before = token.type
    return told + statement


def _constants(names: dict) -> list[str]:
    """The numbers among named values, and tuples of them, as text."""
    found = []
    for name, value in sorted(names.items()):
        plain = [float(part) for part in (value if isinstance(value, tuple) else (value,)) if _is_number(part)]
        found += [f"{name} = {plain}"] if plain else []
    return found


def _is_number(value) -> bool:
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__") and getattr(value, "ndim", 0) == 0
