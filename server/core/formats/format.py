"""What a format of splats is, and what comes out of a file of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..gaussians import Gaussians


@dataclass(frozen=True)
class SplatFile:
    """What a file of splats holds: the arrays, and what is known of them beside. New facts become fields here.

    Attributes:
        splats: In the axes of the file.
        up: The axis that points up: "-Y" (x right, y down, z forward), "Y" (x right, y up, z back) or "Z". Usual for
            the format, unless the file says otherwise.
        dropped: How many rows were left out since they hold NaN, infinite or absurd values.
    """

    splats: Gaussians
    up: str = "-Y"
    dropped: int = 0

    @property
    def warning(self) -> str:
        """One line about what was left out; "" when nothing was."""
        rows = len(self.splats) + self.dropped
        told = f"{self.dropped:,} of {rows:,} splats hold no usable numbers and were left out"
        return told if self.dropped else ""

    def usable(self) -> SplatFile:
        """Without splats that renderers can't show (`Gaussians.usable`)."""
        splats = self.splats.usable()
        return replace(self, splats=splats, dropped=self.dropped + len(self.splats) - len(splats))


@dataclass(frozen=True)
class Format:
    """A format of splats, as its module describes it to the registry.

    Attributes:
        name: As people call it.
        suffix: Of its files' names, in lower case (".compressed.ply").
        recognises: Whether a file is of this format, by its path and its first 4 bytes.
        read: Reads a file. Raises SplatFileError that says what is wrong, and OSError.
        write: Writes a file whole or not at all; the same splats always give the same bytes. Raises likewise.
    """

    name: str
    suffix: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path], SplatFile]
    write: Callable[[Path, Gaussians], None]


def without(splats: Gaussians, good: ArrayLike, up: str) -> SplatFile:
    """The rows of a file that are good, (N,) bool; no copy where all are."""
    rows = np.asarray(good)
    dropped = len(splats) - int(np.count_nonzero(rows))
    return SplatFile(splats[rows] if dropped else splats, up, dropped)
