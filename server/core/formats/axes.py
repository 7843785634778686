"""How the coordinate axes of a file lie: what it says in words, letters or vectors, and how it is turned upright."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

UPRIGHT = {
    "-Y": np.array([(1, 0, 0), (0, 0, 1), (0, -1, 0)], np.float64),
    "Y": np.array([(1, 0, 0), (0, 0, -1), (0, 1, 0)], np.float64),
    "Z": np.eye(3),
    "-Z": np.diag([1.0, -1.0, -1.0]),
    "X": np.array([(0, 0, -1), (0, 1, 0), (1, 0, 0)], np.float64),
    "-X": np.array([(0, 0, 1), (0, 1, 0), (-1, 0, 0)], np.float64),
}
"""The rotation (3, 3) from a file's axes to upright ones (x right, y ahead, z up), by the axis that points up."""

LETTERS = {"R": (1, 0, 0), "L": (-1, 0, 0), "F": (0, 1, 0), "B": (0, -1, 0), "U": (0, 0, 1), "D": (0, 0, -1)}
"""Upright directions by the letters of names such as RUB: where x, y and z point; back is towards the viewer."""

SYSTEMS = {
    "opencv": "RDF",
    "colmap": "RDF",
    "opengl": "RUB",
    "gltf": "RUB",
    "three.js": "RUB",
    "threejs": "RUB",
    "blender": "RFU",
    "unity": "RUF",
    "unreal": "FRU",
    "enu": "RFU",
}
"""The letters of systems that are named by a program."""

_SIGN = r"([+-]|plus|minus|positive|negative|pos|neg)?[\s_]*"
_KEY = re.compile(
    r"(?:(?<![a-z])(?:vertical[\s_]*(?:axis|direction)|world[\s_]*up|up[\s_]*(?:axis|vector|direction|dir))\b|^\s*up\b)"
    r"\s*(?:is\b|[:=])?\s*(.+)",
    re.IGNORECASE,
)
_WORD = re.compile(rf"^[\"'(\[]*{_SIGN}([xyz])(?:[\s_-]*axis)?[\s_-]*(up|down)?(?![a-z0-9.])", re.IGNORECASE)
_ALONE = re.compile(rf"(?:^|[\s:=,;(_]){_SIGN}([xyz])[\s_-]*(up|down)\b", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SYSTEM_KEY = re.compile(r"\b(?:coordinate|coord|axis|axes|convention)", re.IGNORECASE)
_NAME = re.compile(r"\b([LRUDFB]{3})\b")


@dataclass(frozen=True)
class Axes:
    """The axes of a file.

    Attributes:
        matrix: (3, 3) from the file's axes to upright ones (x right, y ahead, z up); orthogonal. A negative determinant
            means that the file's axes are left-handed.
        said: What the file says of them, as a phrase for the report; "" where the format's convention was taken.
    """

    matrix: np.ndarray
    said: str = ""

    @property
    def up(self) -> str:
        """The file's axis that points up, or the one nearest to it: "-Y", "Y", "Z", …"""
        direction = self.matrix[2]
        axis = int(np.argmax(np.abs(direction)))
        return ("-" if direction[axis] < 0 else "") + "XYZ"[axis]

    def told(self, form: str) -> str:
        """Which axis points up and why, as a phrase for the report; `form` is the format's name."""
        return self.said or f"{self.up.replace('-', '−')} up, as is usual for {form}"

    @property
    def is_mirrored(self) -> bool:
        """Whether they are left-handed."""
        return bool(np.linalg.det(self.matrix) < 0)


def usual(up: str) -> Axes:
    """The axes of a format that says nothing, by the axis that points up."""
    return Axes(UPRIGHT[up])


def named(letters: str) -> Axes | None:
    """The axes by their letters (RDF: x right, y down, z forward); None if these are no three axes."""
    letters = letters.upper()
    if len(letters) != 3 or not set(letters) <= set(LETTERS):
        return None
    matrix = np.array([LETTERS[letter] for letter in letters], np.float64).T
    return Axes(matrix, f"axes {letters}") if abs(np.linalg.det(matrix)) > 0.5 else None


def towards(up: Iterable[float], said: str) -> Axes | None:
    """The axes of a file in which the vector `up` points up: the least rotation to an axis, then that of the axis.

    None if the vector has no direction.
    """
    vector = np.array(list(up), np.float64)
    length = np.linalg.norm(vector)
    if vector.shape != (3,) or not np.isfinite(length) or length < 1e-9:
        return None
    vector /= length
    axis = int(np.argmax(np.abs(vector)))
    target = np.zeros(3)
    target[axis] = np.sign(vector[axis])
    name = ("-" if vector[axis] < 0 else "") + "XYZ"[axis]
    return Axes(UPRIGHT[name] @ _arc(vector, target), said)


def of_map(code: str, origin: np.ndarray) -> Axes | None:
    """The axes of surveyed coordinates: east, north and height, or from the centre of the earth; None for others.

    Args:
        code: The EPSG number that the file names, or "".
        origin: (3,) what was subtracted from the file's coordinates, which is far away if there is one.
    """
    if code == "4978":  # geocentric
        return towards(origin, "up is away from the earth's centre")
    if code or origin.any():
        return Axes(UPRIGHT["Z"], "Z up, as surveyed coordinates have it")
    return None


def declared(comments: Iterable[str]) -> Axes | None:
    """What the comments of a header say of the axes; the last word counts, None without any.

    Understood are "Vertical Axis: z" (Nerfstudio), a vector "Vertical axis: 0 -1 0" and a bare y, by which Brush means
    −Y, "up: +y", "Y up", "z-down", names of programs and letters ("coordinate system: OpenCV", "axes: RDF").
    """
    comments = list(comments)
    brush = any("brush" in comment.lower() for comment in comments)
    found = None
    for comment in comments:
        found = _declared_in(comment, brush) or found
    return found


def _declared_in(comment: str, brush: bool) -> Axes | None:
    key = _KEY.search(comment)
    if key:
        value = key[1].strip()
        word = _WORD.match(value)
        if word:
            sign = -_sign_of(word) if brush and not word[1] and word[2].lower() == "y" else _sign_of(word)
            return _along(sign, word[2])
        numbers = _NUMBER.findall(value)
        if len(numbers) == 3 and not re.search(r"[a-df-z]", _NUMBER.sub("", value), re.IGNORECASE):
            text = ", ".join(f"{float(number):g}" for number in numbers)
            return towards(map(float, numbers), f"({text}) up, as the file says")
    alone = _ALONE.search(comment)
    if alone:
        return _along(_sign_of(alone), alone[2])
    if _SYSTEM_KEY.search(comment):
        for word in re.findall(r"[\w.]+", comment.lower()):
            if word in SYSTEMS:
                axes = named(SYSTEMS[word])
                return axes and Axes(axes.matrix, f"axes {SYSTEMS[word]}, as the file says ({word})")
        for name in _NAME.findall(comment):
            axes = named(name)
            if axes:
                return Axes(axes.matrix, f"axes {name}, as the file says")
    return None


def _sign_of(match: re.Match[str]) -> int:
    sign = -1 if (match[1] or "").lower() in ("-", "minus", "negative", "neg") else 1
    return -sign if (match[3] or "").lower() == "down" else sign


def _along(sign: int, letter: str) -> Axes:
    up = ("-" if sign < 0 else "") + letter.upper()
    return Axes(UPRIGHT[up], f"{up.replace('-', '−')} up, as the file says")


def _arc(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The least rotation (3, 3) of a unit vector to another that is less than 90° away (Rodrigues' formula)."""
    axis, cosine = np.cross(start, end), float(start @ end)
    cross = np.array([(0, -axis[2], axis[1]), (axis[2], 0, -axis[0]), (-axis[1], axis[0], 0)])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)
