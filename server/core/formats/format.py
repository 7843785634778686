"""The interface of a splat format, and the result of reading a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..gaussians import Gaussians


@dataclass(frozen=True)
class SplatFile:
    """The contents of a file of splats: the arrays and their metadata.

    Attributes:
        splats: In the coordinate axes of the file.
        up: The axis that points up: "-Y" (x right, y down, z forward), "Y" (x right, y up, z back) or "Z". The format's
            convention, unless the file says otherwise.
        dropped: Number of rows left out because they hold NaN, infinite or far too large values.
    """

    splats: Gaussians
    up: str = "-Y"
    dropped: int = 0

    @property
    def warning(self) -> str:
        """One line about the rows left out; "" if there are none."""
        rows = len(self.splats) + self.dropped
        text = f"{self.dropped:,} of {rows:,} splats hold no usable numbers and were left out"
        return text if self.dropped else ""

    def usable(self) -> SplatFile:
        """Without the splats that renderers can't handle (`Gaussians.usable`)."""
        splats = self.splats.usable()
        return replace(self, splats=splats, dropped=self.dropped + len(self.splats) - len(splats))


@dataclass(frozen=True)
class Format:
    """A splat format's entry in the registry.

    Attributes:
        name: Shown to users.
        suffix: Of its file names, in lower case (".compressed.ply").
        recognises: Whether a file is of this format, given its path and its first 4 bytes.
        read: Reads a file. Raises SplatFileError, whose message says what is wrong, or OSError.
        write: Writes a file atomically; equal splats give equal bytes. Raises the same errors.
    """

    name: str
    suffix: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path], SplatFile]
    write: Callable[[Path, Gaussians], None]


def without(splats: Gaussians, good: ArrayLike, up: str) -> SplatFile:
    """A `SplatFile` of the splats selected by the mask `good` (N,) bool; no copy if all are."""
    rows = np.asarray(good)
    dropped = len(splats) - int(np.count_nonzero(rows))
    return SplatFile(splats[rows] if dropped else splats, up, dropped)
