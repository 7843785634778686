"""Random numbers that depend on the seed and the name of what draws them, never on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def rng(seed: int, name: str) -> np.random.Generator:
    """The generator of a step: the same on every machine and in every run, so that a resumed job equals a whole one."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], "<u8").astype(np.uint64)))


def seed_of(seed: int, name: str) -> int:
    """A seed (63 bits) for libraries that draw their own numbers, as torch does."""
    digest = hashlib.sha256(f"{seed}\0{name}\0seed".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
