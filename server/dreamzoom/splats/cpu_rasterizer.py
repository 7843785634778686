"""The CPU rasteriser (compiled): tile binning, exact hits per pixel, blending, and its transpose.

For each tile the hits of its splats are collected per pixel, sorted by their own depth, and blended front to back in
linear light. Each tile writes only its own data (gradients are stored per pair of splat and tile until they are
summed), so the result is bit-identical for any number of threads.

Kernels take `begin, end`, a range of tiles or rows, and arrays: `table` (N, COLUMNS) float32 and `box` (N, 4) int32 of
`splat_projection`, and the arrays of `Tiles`. Pixels are numbered tile by tile, 256 per tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dreamzoom.splats.splat_projection import CUT, compiled
from dreamzoom.splats.threads import parts, run_all, run_chunks

TILE = 16
"""Side of a tile in pixels."""
_CUT2 = np.float32(CUT * CUT)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_ZERO = np.float32(0)
_STOP = np.float32(1e-5)


@dataclass(frozen=True)
class Tiles:
    """The pairs of splats and tiles that overlap, ordered by splat ("pairs") and by tile ("entries").

    Attributes:
        columns, rows: Number of tiles across and down.
        pair_start: (N + 1,) int64: the pairs of splat i are pair_start[i] : pair_start[i + 1].
        tile_start: (tiles + 1,) int64: the entries of tile t are tile_start[t] : tile_start[t + 1], ordered by splat.
        tile_splats: (pairs,) int32, the splat of each entry.
        pair_entry: (pairs,) int32, the entry of each pair.
    """

    columns: int
    rows: int
    pair_start: np.ndarray
    tile_start: np.ndarray
    tile_splats: np.ndarray
    pair_entry: np.ndarray


@compiled
def _count_pairs(box, pair_start, tile_start, columns):
    """Fill pair_start (N + 1,) and write the number of entries of each tile t to tile_start[t + 1]."""
    for i in range(len(box)):
        pairs = 0
        if box[i, 1] > box[i, 0]:
            for row in range(box[i, 2] // TILE, (box[i, 3] - 1) // TILE + 1):
                for column in range(box[i, 0] // TILE, (box[i, 1] - 1) // TILE + 1):
                    tile_start[row * columns + column + 1] += 1
                    pairs += 1
        pair_start[i + 1] = pair_start[i] + pairs


@compiled
def _fill_pairs(box, pair_start, cursor, columns, tile_splats, pair_entry):
    """Fill tile_splats and pair_entry (pairs,); cursor (tiles,) int64 is each tile's first entry, advanced in place."""
    for i in range(len(box)):
        pair = pair_start[i]
        if box[i, 1] <= box[i, 0]:
            continue
        for row in range(box[i, 2] // TILE, (box[i, 3] - 1) // TILE + 1):
            for column in range(box[i, 0] // TILE, (box[i, 1] - 1) // TILE + 1):
                slot = cursor[row * columns + column]
                tile_splats[slot] = i
                pair_entry[pair] = slot
                cursor[row * columns + column] = slot + 1
                pair += 1


def bin_tiles(box: np.ndarray, width: int, height: int) -> Tiles:
    """Assign splats to the tiles that their boxes (N, 4) overlap; width and height of the image in pixels."""
    columns, rows = -(-width // TILE), -(-height // TILE)
    pair_start = np.zeros(len(box) + 1, np.int64)
    tile_start = np.zeros(columns * rows + 1, np.int64)
    _count_pairs(box, pair_start, tile_start, columns)
    np.cumsum(tile_start, out=tile_start)
    tile_splats = np.empty(pair_start[-1], np.int32)
    pair_entry = np.empty(pair_start[-1], np.int32)
    _fill_pairs(box, pair_start, tile_start[:-1].copy(), columns, tile_splats, pair_entry)
    return Tiles(columns, rows, pair_start, tile_start, tile_splats, pair_entry)


@compiled
def _grown(array, used):
    """A copy of about twice the length that keeps the first `used` items."""
    bigger = np.empty(2 * len(array) + 1024, array.dtype)
    bigger[:used] = array[:used]
    return bigger


@compiled
def _sort_hits(depth, alpha, pair, begin, end):
    """Sort hits begin:end of three parallel arrays in place by depth, then by pair.

    Shell sort; for few hits, the usual case, it is an insertion sort.
    """
    for gap in (701, 301, 132, 57, 23, 10, 4, 1):
        if gap > 1 and end - begin <= 2 * gap:
            continue
        for i in range(begin + gap, end):
            d, a, p = depth[i], alpha[i], pair[i]
            j = i
            while j >= begin + gap and (depth[j - gap] > d or (depth[j - gap] == d and pair[j - gap] > p)):
                depth[j], alpha[j], pair[j] = depth[j - gap], alpha[j - gap], pair[j - gap]
                j -= gap
            depth[j], alpha[j], pair[j] = d, a, p


@compiled
def _hits_of_splat(s, x0, x1, y0, y1, near, base, out_depth, out_alpha, out_pixel, used):
    """Append the hits of one splat in the pixels x0:x1, y0:y1 of one tile.

    Args:
        s: (COLUMNS,) float32, the splat's row of the table.
        x0, x1, y0, y1: Pixels to test, ends exclusive.
        near: Z-depth of the near plane.
        base: Number of the tile's first pixel.
        out_depth, out_alpha: float32, z-depth and alpha of each hit, filled from index `used` on.
        out_pixel: int32, number of each hit's pixel.
        used: Number of hits so far.

    Returns:
        The new number of hits.
    """
    opacity = s[11]
    flat = s[15] == _ZERO
    for y in range(y0, y1):
        dy = np.float32(y) + _HALF - s[1]
        for x in range(x0, x1):
            dx = np.float32(x) + _HALF - s[0]
            if flat:
                inverse = s[8] + s[9] * dx + s[10] * dy
                if not inverse > _ZERO:
                    continue
                z = _ONE / inverse
                u = z * (s[2] + s[3] * dx + s[4] * dy)
                v = z * (s[5] + s[6] * dx + s[7] * dy)
                q = u * u + v * v
            else:
                length = _ONE + dx * (s[5] + s[7] * dx + s[8] * dy) + dy * (s[6] + s[9] * dy)
                q = (dx * (s[2] * dx + s[3] * dy) + s[4] * dy * dy) / length
                z = s[15] * (_ONE + _HALF * (s[5] * dx + s[6] * dy)) / length
            if q < _CUT2 and z >= near:
                out_depth[used] = z
                out_alpha[used] = opacity * np.exp(-_HALF * q)
                out_pixel[used] = base + (y % TILE) * TILE + x % TILE
                used += 1
    return used


@compiled
def gather_hits(begin, end, columns, width, height, tile_start, tile_splats, table, box, near):
    """The hits in the tiles begin:end (a chunk), ordered by pixel and front to back.

    Returns:
        start: (pixels + 1,) int32: the hits of the chunk's pixel i are start[i] : start[i + 1].
        slot: (hits,) int32: the entry in tile_splats, relative to the chunk's first.
        alpha: (hits,) float32.
        depth: (hits,) float32, z-depth.
    """
    start = np.zeros((end - begin) * TILE * TILE + 1, np.int32)
    slot = np.empty(4096, np.int32)
    alpha = np.empty(4096, np.float32)
    depth = np.empty(4096, np.float32)
    raw_depth = np.empty(4096, np.float32)
    raw_alpha = np.empty(4096, np.float32)
    raw_pixel = np.empty(4096, np.int32)
    raw_slot = np.empty(4096, np.int32)
    cursor = np.empty(TILE * TILE, np.int32)
    total = 0
    first_slot = tile_start[begin]
    for tile in range(begin, end):
        left, top = (tile % columns) * TILE, (tile // columns) * TILE
        right, bottom = min(left + TILE, width), min(top + TILE, height)
        base = (tile - begin) * TILE * TILE
        used = 0
        for entry in range(tile_start[tile], tile_start[tile + 1]):
            if used + TILE * TILE > len(raw_depth):
                raw_depth, raw_alpha = _grown(raw_depth, used), _grown(raw_alpha, used)
                raw_pixel, raw_slot = _grown(raw_pixel, used), _grown(raw_slot, used)
            i = tile_splats[entry]
            x0, x1 = max(box[i, 0], left), min(box[i, 1], right)
            y0, y1 = max(box[i, 2], top), min(box[i, 3], bottom)
            before = used
            used = _hits_of_splat(table[i], x0, x1, y0, y1, near, base, raw_depth, raw_alpha, raw_pixel, used)
            raw_slot[before:used] = entry - first_slot
        while total + used > len(depth):
            depth, alpha, slot = _grown(depth, total), _grown(alpha, total), _grown(slot, total)
        for hit in range(used):
            start[raw_pixel[hit] + 1] += 1
        for pixel in range(TILE * TILE):
            cursor[pixel] = start[base + pixel]
            start[base + pixel + 1] += start[base + pixel]
        for hit in range(used):
            pixel = raw_pixel[hit] - base
            place = cursor[pixel]
            depth[place], alpha[place], slot[place] = raw_depth[hit], raw_alpha[hit], raw_slot[hit]
            cursor[pixel] = place + 1
        for pixel in range(TILE * TILE):
            if start[base + pixel + 1] - start[base + pixel] > 1:
                _sort_hits(depth, alpha, slot, start[base + pixel], start[base + pixel + 1])
        total += used
    return start, slot[:total].copy(), alpha[:total].copy(), depth[:total].copy()


@compiled
def blend(
    begin, end, hits, columns, width, height, tile_start, tile_splats, table, background, rgb, alpha_out, depth_out
):
    """Blend the hits of a chunk front to back in linear light.

    Args:
        hits: The result of `gather_hits` for this chunk.
        background: (3,) float32 linear RGB.
        rgb: (H, W, 3) float32, written: linear light over the background.
        alpha_out: (H, W) float32, written.
        depth_out: (H, W) float32, written: mean z-depth of the hits; infinite without hits.
    """
    start, slot, alpha, depth = hits
    first = tile_start[begin]
    for tile in range(begin, end):
        left, top = (tile % columns) * TILE, (tile // columns) * TILE
        for y in range(top, min(top + TILE, height)):
            pixel = (tile - begin) * TILE * TILE + (y - top) * TILE
            for x in range(left, min(left + TILE, width)):
                clear = _ONE
                r, g, b, z = _ZERO, _ZERO, _ZERO, _ZERO
                for hit in range(start[pixel], start[pixel + 1]):
                    i = tile_splats[first + slot[hit]]
                    weight = clear * alpha[hit]
                    r += weight * table[i, 12]
                    g += weight * table[i, 13]
                    b += weight * table[i, 14]
                    z += weight * depth[hit]
                    clear -= weight
                    if clear < _STOP:
                        break
                rgb[y, x, 0] = r + clear * background[0]
                rgb[y, x, 1] = g + clear * background[1]
                rgb[y, x, 2] = b + clear * background[2]
                alpha_out[y, x] = _ONE - clear
                depth_out[y, x] = z / (_ONE - clear) if clear < _ONE else np.float32(np.inf)
                pixel += 1


@compiled
def spread(begin, end, hits, columns, width, height, tile_start, residual, weight, entries):
    """Add each hit's weight times its pixel's residual (H, W, 3) and weight (H, W) to `entries` (pairs, 4)."""
    start, slot, alpha, _ = hits
    first = tile_start[begin]
    for tile in range(begin, end):
        left, top = (tile % columns) * TILE, (tile // columns) * TILE
        for y in range(top, min(top + TILE, height)):
            pixel = (tile - begin) * TILE * TILE + (y - top) * TILE
            for x in range(left, min(left + TILE, width)):
                clear = _ONE
                for hit in range(start[pixel], start[pixel + 1]):
                    share = clear * alpha[hit]
                    entry = first + slot[hit]
                    for k in range(3):
                        entries[entry, k] += share * residual[y, x, k]
                    entries[entry, 3] += share * weight[y, x]
                    clear -= share
                    if clear < _STOP:
                        break
                pixel += 1


@compiled
def sum_pairs(begin, end, pair_start, pair_entry, entries, sums):
    """Add up the entries (pairs, C) of each splat to rows begin:end of sums (N, C), in the order of its pairs."""
    for i in range(begin, end):
        for pair in range(pair_start[i], pair_start[i + 1]):
            for k in range(entries.shape[1]):
                sums[i, k] += entries[pair_entry[pair], k]


@dataclass(frozen=True)
class Hits:
    """All hits of a view, kept between the forward and the backward pass.

    Attributes:
        width, height: Of the picture, in pixels.
        table: (N, COLUMNS) float32 of `splat_projection`.
        tiles: The pairs of splats and tiles.
        chunks: The results of `gather_hits`, one per chunk of tiles.
    """

    width: int
    height: int
    table: np.ndarray
    tiles: Tiles
    chunks: list[tuple]

    @property
    def count(self) -> int:
        """The number of hits in the picture."""
        return sum(len(chunk[1]) for chunk in self.chunks)

    def run(self, kernel, *arguments) -> list:
        """Call kernel(begin, end, hits, columns, width, height, tile_start, *arguments) for every chunk of tiles."""
        tiles = self.tiles
        shared = (tiles.columns, self.width, self.height, tiles.tile_start)
        bounds = parts(tiles.columns * tiles.rows)
        return run_all(kernel, [(*part, chunk, *shared, *arguments) for part, chunk in zip(bounds, self.chunks)])


def find_hits(table: np.ndarray, box: np.ndarray, width: int, height: int, near: float) -> Hits:
    """Find the hits of every pixel, sorted by depth.

    Args:
        table, box: (N, COLUMNS) and (N, 4), of `splat_projection.project`.
        width, height: Of the picture, in pixels.
        near: Z-depth of the near plane.
    """
    tiles = bin_tiles(box, width, height)
    size = tiles.columns * tiles.rows
    arguments = (tiles.columns, width, height, tiles.tile_start, tiles.tile_splats, table, box, np.float32(near))
    return Hits(width, height, table, tiles, run_chunks(gather_hits, size, *arguments))


def blend_hits(hits: Hits, background: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear RGB (H, W, 3), alpha (H, W) and mean hit depth (H, W), over the linear `background` (3,); float32."""
    shape = (hits.height, hits.width)
    rgb, alpha, depth = np.empty((*shape, 3), np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
    hits.run(blend, hits.tiles.tile_splats, hits.table, background, rgb, alpha, depth)
    return rgb, alpha, depth


def spread_colour(hits: Hits, residual: np.ndarray, weight: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The transpose of blending: per splat Σ w·residual (N, 3) and Σ w·weight (N,) over its hits.

    w is the hit's blending weight, its alpha times the transmittance in front of it.

    Args:
        hits: Of the view.
        residual: (H, W, 3) float32.
        weight: (H, W) float32.
        count: N, the number of rows of the table.
    """
    entries = np.zeros((len(hits.tiles.tile_splats), 4), np.float32)
    hits.run(spread, residual, weight, entries)
    sums = np.zeros((count, 4), np.float32)
    run_chunks(sum_pairs, count, hits.tiles.pair_start, hits.tiles.pair_entry, entries, sums)
    return sums[:, :3], sums[:, 3]
