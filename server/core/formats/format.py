"""The interface of a splat format, what reading a file gives, and what is done alike with the values of all formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import smallest
from ..gaussians import FLATNESS, Gaussians, transformed
from .axes import UPRIGHT, Axes, usual
from .source import Source

LEAST_LOG_SCALE = np.float32(-30)
"""Natural logarithm of the least standard deviation; an axis of less, or of none, is that of a flat splat."""

FAR = 16
"""Double-precision positions are recentred if their middle is this many times farther away than the scene is wide:
single precision would then be wrong by more than a millionth of the width."""

SAMPLES = 1 << 16
"""Of so many positions, evenly chosen, the middle and the width are taken."""


@dataclass(frozen=True)
class SplatFile:
    """The contents of a file of splats: the arrays and what the file says of them.

    Attributes:
        splats: In the coordinate axes of the file, which are right-handed, relative to `origin`.
        axes: How these axes lie.
        dropped: Number of rows left out because they hold NaN, infinite or far too large values.
        origin: (3,) float64, in the file's axes: what was subtracted from the positions.
        antialiased: Whether the splats were trained with the anti-aliasing of Mip-Splatting: whoever widens their
            projections must weaken them in turn.
        notes: Whatever else was guessed or changed, as phrases for the report.
        form: The name of the format.
    """

    splats: Gaussians
    axes: Axes = field(default_factory=lambda: usual("-Y"))
    dropped: int = 0
    origin: np.ndarray = field(default_factory=lambda: np.zeros(3))
    antialiased: bool = False
    notes: tuple[str, ...] = ()
    form: str = "its format"

    @property
    def up(self) -> str:
        """The file's axis that points up: "-Y" (x right, y down, z forward), "Y" (x right, y up, z back), "Z", …"""
        return self.axes.up

    @property
    def warning(self) -> str:
        """One line about the rows left out; "" if there are none."""
        rows = len(self.splats) + self.dropped
        text = f"{self.dropped:,} of {rows:,} splats hold no usable numbers and were left out"
        return text if self.dropped else ""

    @property
    def report(self) -> str:
        """One line of all that the file says of itself, and that was guessed or changed."""
        return "; ".join([self.axes.told(self.form), *self.changes])

    @property
    def changes(self) -> list[str]:
        """The phrases of the report but that about the axes."""
        flag = "anti-aliased" if self.antialiased else ""
        return [text for text in (self.warning, flag, *self.notes, _place(self.origin)) if text]

    def usable(self) -> SplatFile:
        """Without the splats that renderers can't handle (`Gaussians.usable`), and in right-handed axes."""
        splats = self.splats.usable()
        file = replace(self, splats=splats, dropped=self.dropped + len(self.splats) - len(splats))
        if not self.axes.is_mirrored:
            return file
        mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
        note = f"the left-handed axes were mirrored{_cut_note(splats)}"
        return replace(
            file,
            splats=transformed(_at_most_degree_3(splats), mirror),
            axes=Axes(self.axes.matrix @ mirror[:3, :3], self.axes.said),
            origin=self.origin * (-1, 1, 1),
            notes=(*self.notes, note),
        )

    def upright(self) -> Gaussians:
        """The splats with z up (x right, y ahead), at their place."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes.matrix
        matrix[:3, 3] = self.axes.matrix @ self.origin
        same = np.array_equal(matrix, np.eye(4))
        return self.splats if same else transformed(_at_most_degree_3(self.splats), matrix)


@dataclass(frozen=True)
class About:
    """What a file that is written says of its splats.

    Attributes:
        up: The axis that points up in them: "-Y", "Y" or "Z"; "" if that is not to be said.
        origin: (3,) float64, what is to be added to the positions.
        antialiased: As in `SplatFile`.
    """

    up: str = ""
    origin: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0)
    antialiased: bool = False

    @property
    def is_far(self) -> bool:
        """Whether there is an origin to keep."""
        return bool(np.any(np.asarray(self.origin) != 0))


@dataclass(frozen=True)
class Format:
    """A splat format's entry in the registry.

    Attributes:
        name: Shown to users.
        suffix: Of its file names, in lower case (".compressed.ply").
        recognises: Whether a file is of this format, given the file and its first 4 bytes.
        read: Reads a file. Raises SplatFileError, whose message says what is wrong, or OSError.
        write: Writes a file atomically; equal splats give equal bytes. Raises the same errors.
        up: The axis that points up in all its files, or in most.
        keeps_axes: Whether a file can say that another axis points up.
        keeps_origin: Whether a file can hold places that single precision can't.
    """

    name: str
    suffix: str
    recognises: Callable[[Path | Source, bytes], bool]
    read: Callable[[Path | Source], SplatFile]
    write: Callable[[Path, Gaussians, About], None]
    up: str = "-Y"
    keeps_axes: bool = False
    keeps_origin: bool = False


def without(splats: Gaussians, good: ArrayLike, up: str = "-Y") -> SplatFile:
    """A `SplatFile` of the splats selected by the mask `good` (N,) bool; no copy if all are."""
    rows = np.asarray(good)
    dropped = len(splats) - int(np.count_nonzero(rows))
    return SplatFile(splats[rows] if dropped else splats, usual(up), dropped)


def flattened(log_scales: np.ndarray) -> int:
    """Give axes without length that of a surfel's third axis, in place; the number of splats that had some.

    Args:
        log_scales: (N, 3) float32; −∞ and anything below `LEAST_LOG_SCALE` is no length.
    """
    if not len(log_scales) or log_scales.min() >= LEAST_LOG_SCALE:  # NaN compares false, and is left alone
        with np.errstate(invalid="ignore"):
            if not (log_scales < LEAST_LOG_SCALE).any():
                return 0
    with np.errstate(invalid="ignore"):
        thin = log_scales < LEAST_LOG_SCALE
        rows = np.flatnonzero(thin.any(-1))
        some = log_scales[rows]
        others = smallest(np.where(thin[rows], np.float32(np.inf), some))
        least = np.maximum(np.where(np.isposinf(others), LEAST_LOG_SCALE, others + FLATNESS), LEAST_LOG_SCALE)
        log_scales[rows] = np.where(thin[rows], least[:, None], some)
    return len(rows)


def flat_note(count: int) -> str:
    """The phrase about splats that `flattened` changed; "" if there are none."""
    if count == 1:
        return "1 splat without thickness is flat"
    return f"{count:,} splats without thickness are flat" if count else ""


def origin_of(positions: np.ndarray) -> np.ndarray:
    """What to subtract from double-precision positions (N, 3) so that single precision holds them; (3,) float64.

    Zero where it holds them anyway (`FAR`). Otherwise a place near the middle that single precision holds exactly.
    """
    few = positions[:: max(1, len(positions) // SAMPLES)].astype(np.float64)
    few = few[np.isfinite(few).all(-1)]
    if not len(few):
        return np.zeros(3)
    low, middle, high = np.percentile(few, (1, 50, 99), axis=0)
    width = float((high - low).max())
    if np.abs(middle).max() <= max(FAR * width, 1e-30) or np.abs(middle).max() > np.finfo(np.float32).max:
        return np.zeros(3)
    return (np.round(middle) if width >= 1 else middle).astype(np.float32).astype(np.float64)


def upright_of(up: str) -> np.ndarray:
    """(3, 3) from axes in which `up` points up to upright ones (x right, y ahead, z up)."""
    return UPRIGHT[up]


def _place(origin: np.ndarray) -> str:
    if not origin.any():
        return ""
    return "recentred, its place is " + ", ".join(f"{value:.12g}" for value in origin)


def _at_most_degree_3(splats: Gaussians) -> Gaussians:
    return replace(splats, sh=splats.sh[:, :16]) if splats.sh.shape[1] > 16 else splats


def _cut_note(splats: Gaussians) -> str:
    return " without harmonics above degree 3" if splats.sh.shape[1] > 16 else ""
