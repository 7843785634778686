"""Few values that stand for many: codebooks of 256 numbers, and palettes of vectors."""

from __future__ import annotations

import numpy as np

ENTRIES = 256
ROUNDS = 12
SAMPLES = 1 << 18
MOST_SPLITS = 48
"""Halvings of groups: 16 suffice for even ones."""


def codebook_of(values: np.ndarray) -> np.ndarray:
    """256 numbers, ascending float32, for an array of any shape: Lloyd's iterations from its quantiles, on a sample."""
    flat = values.ravel()
    if not len(flat):
        return np.zeros(ENTRIES, np.float32)
    few = np.sort(flat[:: max(1, len(flat) // SAMPLES)].astype(np.float64))
    few = np.concatenate([[float(flat.min())], few, [float(flat.max())]])
    quantiles = few[np.linspace(0, len(few) - 1, ENTRIES).round().astype(int)]
    book = np.sort((quantiles + np.linspace(few[0], few[-1], ENTRIES)) / 2)  # rare values far out need entries too
    sums = np.concatenate([[0], np.cumsum(few)])
    for _ in range(ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(few, (book[1:] + book[:-1]) / 2), [len(few)]])
        counts = np.diff(ends)
        book = np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), book)
        book.sort()
    book[0], book[-1] = min(book[0], few[0]), max(book[-1], few[-1])
    return book.astype(np.float32)


def indices_in(book: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The nearest entries of an ascending codebook, uint8 in the shape of `values`."""
    return np.searchsorted((book[1:] + book[:-1]) / 2, values).astype(np.uint8)


def palette_of(vectors: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` vectors for (N, K) ones, and which of them stands for each, (N,) int64.

    Each vector is its own if there are few enough. Else all are split at the mean of the axis of the largest variance,
    and each half again, until there are `most` groups, whose means are taken.
    """
    count = len(vectors)
    if count <= most:
        return vectors, np.arange(count)
    order, starts = np.arange(count), np.array([0])
    for _ in range(MOST_SPLITS):
        if len(starts) >= most:
            break
        sizes = np.diff(starts, append=count)
        sorted_vectors = vectors[order]
        means = np.add.reduceat(sorted_vectors, starts) / sizes[:, None]
        spread = np.add.reduceat(sorted_vectors * sorted_vectors, starts) / sizes[:, None] - means * means
        axis = spread.argmax(1)
        split = (spread.max(1) > 1e-12) & (sizes > 1)
        if split.sum() + len(starts) > most:  # the groups of the largest sums of squares only
            weight = np.where(split, spread.max(1) * sizes, -1)
            split = np.zeros(len(starts), bool)
            split[np.argsort(-weight, kind="stable")[: most - len(starts)]] = True
            split &= weight > 0
        if not split.any():
            break
        group = np.repeat(np.arange(len(starts)), sizes)
        key = sorted_vectors[np.arange(count), axis[group]] > means[group, axis[group]]
        key &= split[group]
        halves = group * 2 + key
        order = order[np.argsort(halves, kind="stable")]
        counts = np.bincount(halves, minlength=2 * len(starts))
        before, starts = len(starts), np.concatenate([[0], np.cumsum(counts[counts > 0])])[:-1]
        if len(starts) == before:  # what is left of the variances is rounding
            break
    sizes = np.diff(starts, append=count)
    palette = (np.add.reduceat(vectors[order].astype(np.float64), starts) / sizes[:, None]).astype(np.float32)
    labels = np.empty(count, np.int64)
    labels[order] = np.repeat(np.arange(len(starts)), sizes)
    return palette, labels
