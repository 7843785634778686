"""What a section of the benchmark measured: rows for people, figures by key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows of measure, value, target and whether it is met, and the figures by key."""

    rows: list[dict] = field(default_factory=list)
    figures: dict = field(default_factory=dict)

    def add(self, measure: str, value, target: str = "reported", met: bool | None = None, **figures) -> None:
        """One row; `met` None where there is no target or nothing was measured."""
        shown = f"{value:.4g}" if isinstance(value, float) else value
        self.rows.append({"measure": measure, "value": shown, "target": target, "met": met})
        self.figures.update(figures)

    def text(self) -> str:
        """For people."""
        marks = {True: "ok", False: "MISSED", None: ""}
        lines = [("measure", "measured", "target", "")]
        lines += [(row["measure"], str(row["value"]), row["target"], marks[row["met"]]) for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(3)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0])) for line in lines)

    def json(self) -> str:
        """For programs: the figures, and the rows under `rows`."""
        return json.dumps(self.figures | {"rows": self.rows})
