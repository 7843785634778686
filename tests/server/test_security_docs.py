"""The table of limits in docs/security.md is that of the code, and every limit is enforced somewhere.

    python tests/server/test_security_docs.py

writes the table anew.
"""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "security.md"
LIMITS = ROOT / "server" / "core" / "safety" / "limits.py"
UNITS = {"KIB", "MIB", "GIB"}
HEAD = "| limit | value | of | enforced by |\n| --- | ---: | --- | --- |\n"


def limits():
    """Value and docstring of every limit, by name."""
    values, found = {}, {}
    body = ast.parse(LIMITS.read_text(encoding="utf-8")).body
    exec(compile(ast.Module(body, []), str(LIMITS), "exec"), values)
    for node, after in zip(body, [*body[1:], None]):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id not in UNITS:
            name = node.targets[0].id
            told = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            found[name] = values[name], " ".join(str(told).split())
    return found


@cache
def table():
    """The table, from the code."""
    files = [file for top in ("server", "addon") for file in sorted((ROOT / top).rglob("*.py")) if file != LIMITS]
    words = {
        file.relative_to(ROOT).as_posix(): set(re.findall(r"\w+", file.read_text(encoding="utf-8"))) for file in files
    }
    rows = [
        f"| `{name}` | {value:,} | {told} | {', '.join(f'`{file}`' for file in words if name in words[file])} |"
        for name, (value, told) in limits().items()
    ]
    return HEAD + "\n".join(rows) + "\n"


def test_the_table_is_that_of_the_code():
    text = DOCS.read_text(encoding="utf-8")
    assert text[text.index(HEAD) :] == table(), f"write it anew: python {Path(__file__).relative_to(ROOT)}"


def test_every_limit_says_what_it_is():
    silent = [name for name, (_, told) in limits().items() if not told.endswith(".")]
    assert not silent, f"without a docstring: {', '.join(silent)}"


def test_every_limit_is_used():
    text = LIMITS.read_text(encoding="utf-8")
    unused = [
        line.split("`")[1]
        for line in table().splitlines()
        if line.endswith("|  |") and len(re.findall(rf"\b{line.split('`')[1]}\b", text)) < 2
    ]
    assert not unused, f"nothing enforces {', '.join(unused)}"


if __name__ == "__main__":
    written = DOCS.read_text(encoding="utf-8")
    DOCS.write_text(written[: written.index(HEAD)] + table(), encoding="utf-8", newline="\n")
