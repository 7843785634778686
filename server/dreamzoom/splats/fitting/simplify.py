"""Reduction of the number of surfels: merges neighbours with similar colours and planes.

Bottom-up clustering after Ward (1963, "Hierarchical grouping to optimize an objective function"). Joining two groups of
n and m surfels costs n·m / (n + m) · |difference|², the squared error it adds, and the cheapest neighbours are joined
first: a uniform area becomes a few large surfels, while edges keep theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.gaussians import Gaussians
from dreamzoom.progress import check
from dreamzoom.splats.fitting.moments import axes_of, merged, morton_order
from dreamzoom.splats.splat_projection import compiled
from dreamzoom.splats.threads import by_rows

NEIGHBOURS = 6
PART = 500_000
"""Surfels that are clustered at once, spatially contiguous, to limit memory."""
SHARE = 0.3
"""Largest fraction of all groups that is joined before costs are recomputed."""
OFF_PLANE, APART, TURNED = 0.02, 0.001, 0.05
"""Costs of a distance of one pixel off the common plane, of one pixel in any direction, and of a right angle between
normals, in units of squared sRGB difference."""


@dataclass
class _Groups:
    """Running means of N groups, and the edges between neighbouring groups.

    Attributes:
        means: (N, 3) positions.
        normals: (N, 3) unit.
        rgb: (N, 3) sRGB in 0..1.
        size: (N,) approximate pixel size, in the frame's units.
        count: (N,) number of surfels.
        one, other: (E,) group indices of each edge.
    """

    means: np.ndarray
    normals: np.ndarray
    rgb: np.ndarray
    size: np.ndarray
    count: np.ndarray
    one: np.ndarray
    other: np.ndarray


def simplified(splats: Gaussians, count: int) -> Gaussians:
    """Merge surfels to at most `count`, each with the moments of its group; deterministic.

    Extra columns are taken from each group's first surfel; harmonics above degree 0 are dropped.
    """
    if len(splats) <= count:
        return splats
    if count < 1:
        return splats[:0]
    order, roots = morton_order(splats.means), []
    parts = min(-(-len(splats) // PART), count)
    for part in range(parts):
        rows = order[len(order) * part // parts : len(order) * (part + 1) // parts]
        wanted = count * (part + 1) // parts - count * part // parts
        root = rows[_roots(_groups(splats[rows]), wanted)]
        roots.append(np.stack([rows, root]))
    rows, root = np.concatenate(roots, 1)
    order = rows[np.argsort(root, kind="stable")]
    return merged(splats[order], np.concatenate([[0], np.cumsum(np.diff(np.sort(root)) != 0)]))


def _groups(splats: Gaussians) -> _Groups:
    """One group per surfel, with edges to its nearest neighbours."""
    from scipy.spatial import KDTree

    means = splats.means.astype(np.float64)
    near = min(NEIGHBOURS + 1, len(means))
    tree = KDTree(means)
    neighbours = by_rows(lambda rows: np.asarray(tree.query(rows, near, workers=-1)[1]), means)
    one, other = np.repeat(np.arange(len(means)), near - 1), neighbours[:, 1:].ravel()
    size = 2 * np.exp(splats.log_scales[:, :2].min(1).astype(np.float64))
    rgb = np.clip(splats.rgb, 0, 1).astype(np.float64)
    normals = axes_of(splats)[:, :, 2].copy()
    return _Groups(means, normals, rgb, size, np.ones(len(means)), *_edges(one, other, len(means)))


def _edges(one: np.ndarray, other: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges (E,), (E,) between `count` groups without duplicates and self-loops."""
    codes = np.sort((np.minimum(one, other) * count + np.maximum(one, other))[one != other])
    codes = codes[np.concatenate([[True], codes[1:] != codes[:-1]])] if len(codes) else codes
    return codes // count, codes % count


def _roots(groups: _Groups, count: int) -> np.ndarray:
    """The group (N,) of each surfel, identified by the index of one member; at most `count` groups."""
    total = alive = len(groups.means)
    root = np.arange(total)
    while alive > count:
        check()
        order = np.argsort(_costs(groups), kind="stable")
        pairs = order[_matched(order, groups.one, groups.other, total, min(alive - count, int(SHARE * alive) + 1))]
        if not len(pairs):
            return _cut(root, count)
        kept, gone = groups.one[pairs], groups.other[pairs]
        _join(groups, kept, gone)
        to = np.arange(total)
        to[gone] = kept
        root = to[root]
        one, other = to[groups.one], to[groups.other]
        groups.one, groups.other = one[one != other], other[one != other]
        alive -= len(pairs)
    return root


def _costs(groups: _Groups) -> np.ndarray:
    """The squared error (E,) that joining along each edge adds."""
    return by_rows(lambda one, other: _costs_of(groups, one, other), groups.one, groups.other)


def _costs_of(groups: _Groups, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The same for some edges."""
    offset = groups.means[one] - groups.means[other]
    normal = groups.normals[one] + groups.normals[other]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    pixel = np.maximum(groups.size[one] * groups.size[other], 1e-300)
    off = np.minimum((offset * normal).sum(1) ** 2 / pixel, 9)
    turned = 1 - (groups.normals[one] * groups.normals[other]).sum(1)
    apart = OFF_PLANE * off + APART * (offset * offset).sum(1) / pixel + TURNED * turned
    weight = groups.count[one] * groups.count[other] / (groups.count[one] + groups.count[other])
    return weight * (((groups.rgb[one] - groups.rgb[other]) ** 2).sum(1) + apart)


@compiled
def _matched(order, one, other, total, most):
    """Greedy matching: ranks in `order` (E,) of at most `most` edges to join, cheapest first, each group at most once.

    `one` and `other` are (E,) group indices, `total` the number of groups.
    """
    busy = np.zeros(total, np.bool_)
    ranks = np.empty(most, np.int64)
    found = 0
    for rank in range(len(order)):
        i, j = one[order[rank]], other[order[rank]]
        if found < most and not busy[i] and not busy[j]:
            busy[i] = busy[j] = True
            ranks[found] = rank
            found += 1
    return ranks[:found]


def _join(groups: _Groups, kept: np.ndarray, gone: np.ndarray) -> None:
    """Merge groups `gone` (M,) into groups `kept` (M,), in place."""
    together = groups.count[kept] + groups.count[gone]
    share = (groups.count[gone] / together)[:, None]
    for values in (groups.means, groups.normals, groups.rgb):
        values[kept] += share * (values[gone] - values[kept])
    groups.normals[kept] /= np.maximum(np.linalg.norm(groups.normals[kept], axis=1, keepdims=True), 1e-9)
    groups.size[kept] *= (groups.size[gone] / groups.size[kept]) ** share[:, 0]
    groups.count[kept] = together


def _cut(root: np.ndarray, count: int) -> np.ndarray:
    """Join groups in index order until there are `count`, for groups that have no neighbours left."""
    names, place = np.unique(root, return_inverse=True)
    bins = (np.arange(len(names)) * count) // len(names)
    return names[np.searchsorted(bins, bins)][place]
