"""Random numbers that depend only on the seed and a name, not on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def rng(seed: int, name: str) -> np.random.Generator:
    """A step's generator. It is the same on every machine and in every run, so a resumed job equals an uninterrupted
    one.
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], "<u8").astype(np.uint64)))


def seed_of(seed: int, name: str) -> int:
    """A 63-bit seed for libraries with their own random generators, such as torch."""
    digest = hashlib.sha256(f"{seed}\0{name}\0seed".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
