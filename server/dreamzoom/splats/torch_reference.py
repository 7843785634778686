"""Reference implementation of the rasteriser in torch with autograd; the fast kernels are tested against it.

It computes the same image model from the same definitions by different means: it intersects each ray with each surfel's
plane in camera axes, sorts with torch.sort and blends with cumprod, tile by tile.
"""

from __future__ import annotations

import torch

from core.camera import Camera
from core.spherical_harmonics import SH_C0
from dreamzoom.splats.splat_projection import CUT, FLAT


def rotations(quaternions: torch.Tensor) -> torch.Tensor:
    """Quaternions (N, 4) wxyz of any length to rotation matrices (N, 3, 3)."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def harmonics(sh: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Colours (N, 3) in sRGB of coefficients (N, K, 3) seen along unit directions (N, 3); K = 1, 4, 9 or 16."""
    x, y, z = directions.unbind(-1)
    one = torch.ones_like(x)
    terms = [SH_C0 * one, -0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    terms += [1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (3 * z * z - 1)]
    terms += [-1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y)]
    terms += [-0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z]
    terms += [-0.4570457994644658 * y * (5 * z * z - 1), 0.3731763325901154 * z * (5 * z * z - 3)]
    terms += [-0.4570457994644658 * x * (5 * z * z - 1), 1.445305721320277 * z * (x * x - y * y)]
    terms += [-0.5900435899266435 * x * (x * x - 3 * y * y)]
    return 0.5 + torch.einsum("kn,nkc->nc", torch.stack(terms[: sh.shape[1]]), sh)


def decoded(rgb: torch.Tensor) -> torch.Tensor:
    """Decode sRGB to linear light; negative values give 0."""
    rgb = rgb.clamp(min=0)
    return torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def rasterize(
    means: torch.Tensor,  # (N, 3)
    log_scales: torch.Tensor,  # (N, 3)
    quaternions: torch.Tensor,  # (N, 4)
    logit_opacities: torch.Tensor,  # (N,)
    sh: torch.Tensor,  # (N, K, 3)
    camera: Camera,
    *,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),  # linear
    tau: float = 0.0,  # pixels²
    near: float = 1e-2,
    tile: int = 16,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Render linear RGB (H, W, 3), alpha (H, W) and mean z-depth (H, W; NaN without hits), in the inputs' precision."""
    kind = means.dtype
    rotation = torch.tensor(camera.rotation, dtype=kind)
    away = means - torch.tensor(camera.centre, dtype=kind)
    m = away @ rotation
    axes = torch.einsum("ji,njk->nik", rotation, rotations(quaternions))
    rgb = decoded(harmonics(sh, torch.nn.functional.normalize(away, dim=-1)))
    scales, opacity = log_scales.exp(), torch.sigmoid(logit_opacities)
    flat = log_scales[:, 2] < log_scales[:, :2].amin(1) + torch.log(torch.tensor(FLAT, dtype=kind))
    splats = (m, axes, scales, opacity, rgb, flat)
    boxes = _boxes(m.detach(), axes.detach(), scales.detach(), flat, camera, tau, near)
    behind = torch.tensor(background, dtype=kind)
    rows = []
    for top in range(0, camera.height, tile):
        row = []
        for left in range(0, camera.width, tile):
            right, bottom = min(left + tile, camera.width), min(top + tile, camera.height)
            hit = (boxes[:, 0] < right) & (boxes[:, 1] > left) & (boxes[:, 2] < bottom) & (boxes[:, 3] > top)
            picked = hit.nonzero()[:, 0]
            seen = _tile([part[picked] for part in splats], camera, (left, right, top, bottom), tau, near, behind)
            row.append(torch.cat(seen, -1))
        rows.append(torch.cat(row, 1))
    picture = torch.cat(rows, 0)
    return picture[..., :3], picture[..., 3], picture[..., 4]


def _boxes(m, axes, scales, flat, camera, tau, near):
    """Conservative pixel boxes (N, 4): columns, then rows. Splats that extend behind the camera get the whole image."""
    reach = CUT * torch.where(flat[:, None], scales[:, :2].amax(1, True), scales.amax(1, True))[:, 0]
    depth = (m[:, 2] - reach).clamp(min=1e-9)
    whole = m[:, 2] <= reach * 1.5
    sides = []
    for axis, focal, middle, size in (
        (0, camera.fx, camera.cx, camera.width),
        (1, camera.fy, camera.cy, camera.height),
    ):
        centre = focal * m[:, axis] / m[:, 2] + middle
        slope = (m[:, axis] / m[:, 2]).abs()
        radius = focal * reach * (1 + slope) / depth + CUT * tau**0.5 + 1
        sides += [torch.where(whole, 0, centre - radius), torch.where(whole, size, centre + radius)]
    hidden = (m[:, 2] + reach <= near) | (~flat & (m[:, 2] <= near))
    box = torch.stack(sides, 1)
    box[hidden] = -1e9
    return box


def _tile(splats, camera, bounds, tau, near, background):
    """Render one tile of h × w pixels: RGB (h, w, 3), alpha (h, w, 1), depth (h, w, 1)."""
    m, axes, scales, opacity, rgb, flat = splats
    left, right, top, bottom = bounds
    x = (torch.arange(left, right, dtype=m.dtype) + 0.5 - camera.cx) / camera.fx
    y = (torch.arange(top, bottom, dtype=m.dtype) + 0.5 - camera.cy) / camera.fy
    ray = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None], torch.ones((), dtype=m.dtype)), -1)
    shape = ray.shape[:2]
    ray = ray.reshape(-1, 3)
    q = ray.new_full((len(ray), len(m)), torch.inf)
    depth = torch.ones_like(q)
    strength = opacity
    if flat.any():
        squared, z, factor = _surfels(m[flat], axes[flat], scales[flat], ray, camera, tau, near)
        q, depth = _placed(q, flat, squared), _placed(depth, flat, z)
        strength = _placed(strength[None], flat, (opacity[flat] * factor)[None])[0]
    if (~flat).any():
        squared, z, factor = _ellipsoids(m[~flat], axes[~flat], scales[~flat], ray, camera, tau)
        q, depth = _placed(q, ~flat, squared), _placed(depth, ~flat, z)
        strength = _placed(strength[None], ~flat, (opacity[~flat] * factor)[None])[0]
    hit = (q < CUT * CUT) & (depth >= near) & torch.isfinite(q) & (strength > 0)
    alpha = torch.where(hit, strength * torch.exp(-0.5 * torch.where(hit, q, 0)), 0)
    order = torch.where(hit, depth, torch.inf).detach().sort(dim=1, stable=True).indices
    alpha, depth = alpha.gather(1, order), torch.where(hit, depth, 0).gather(1, order)
    clear = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha], 1), 1)
    weight = clear[:, :-1] * alpha
    colour = torch.einsum("pk,pkc->pc", weight, rgb[order]) + clear[:, -1:] * background
    total = 1 - clear[:, -1:]
    mean = (weight * depth).sum(1, True) / total
    return colour.reshape(*shape, 3), total.reshape(*shape, 1), mean.reshape(*shape, 1)


def _placed(whole, columns, values):
    """`whole` (P, N) with the columns where `columns` (N,) is true replaced by `values`."""
    return whole.index_copy(1, columns.nonzero()[:, 0], values)


def _surfels(m, axes, scales, ray, camera, tau, near):
    """Squared distance (P, N) and z-depth (P, N) of P rays' hits on N surfels, and the filter's opacity factor (N,)."""
    t1, t2, normal = axes.unbind(-1)
    toward = ray @ normal.T
    toward = torch.where(toward.abs() < 1e-12, 1e-12, toward)
    depth = (normal * m).sum(-1) / toward
    u = (depth * (ray @ t1.T) - (t1 * m).sum(-1)) / scales[:, 0]
    v = (depth * (ray @ t2.T) - (t2 * m).sum(-1)) / scales[:, 1]
    uv, factor = torch.stack([u, v], -1), torch.ones_like(m[:, 0])
    if tau > 0:
        slopes = _slopes(m, axes, scales, camera)
        before = m[:, 2] > near
        inverse, determinant = _inverse_of_grown(torch.where(before[:, None, None], slopes, 0.0), tau)
        flatter = torch.where(before, _flatter_depth(m, normal, slopes, ray, depth, camera, tau), depth)
        uv, depth = uv * (flatter / depth)[..., None], flatter
        q = torch.einsum("pni,nij,pnj->pn", uv, inverse, uv)
        factor = determinant**-0.5
    else:
        q = (uv * uv).sum(-1)
    edge_on = (normal * m).sum(-1).abs() <= 1e-4 * m.norm(dim=-1)
    return torch.where((depth <= 0) | edge_on, torch.inf, q), depth, factor


def _inverse_of_grown(slopes, tau):
    """Inverse (N, 2, 2) and determinant (N,) of I + tau S Sᵀ for S (N, 2, 2).

    The determinant 1 + tau |S|² + tau² det(S)² has no differences, so it can't round to 0 for a
    surfel that is nearly edge-on.
    """
    grown = torch.eye(2, dtype=slopes.dtype) + tau * slopes @ slopes.mT
    determinant = 1 + tau * slopes.square().sum((-1, -2)) + (tau * torch.linalg.det(slopes)) ** 2
    (a, b), (c, d) = (row.unbind(-1) for row in grown.unbind(-2))
    adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return adjugate / determinant[:, None, None], determinant


def _flatter_depth(m, normal, slopes, ray, depth, camera, tau):
    """Z-depth (P, N) of the surfel's mass that falls on each pixel: the plane's inverse depth with slope c' for c."""
    lens = torch.tensor([camera.fx, camera.fy], dtype=m.dtype)
    slope = normal[:, :2] / (normal * m).sum(-1, keepdim=True) / lens
    inverse, _ = _inverse_of_grown(slopes.mT, tau)
    change = (inverse @ slope[..., None])[..., 0] - slope
    delta = (ray[:, None, :2] - m[:, :2] / m[:, 2:]) * lens
    return 1 / (1 / depth + (delta * change).sum(-1))


def _slopes(m, axes, scales, camera):
    """∂(u, v)/∂pixel at the centre, (N, 2, 2): the inverse of the projection's Jacobian in the surfel's plane."""
    x, y, z = m.unbind(-1)
    nought = torch.zeros_like(z)
    lens = torch.stack([camera.fx / z, nought, -camera.fx * x / z**2, nought, camera.fy / z, -camera.fy * y / z**2], -1)
    return torch.linalg.inv(lens.reshape(-1, 2, 3) @ (axes[:, :, :2] * scales[:, None, :2]))


def _ellipsoids(m, axes, scales, ray, camera, tau):
    """The same for N Gaussians that are not flat: the smallest squared distance along the ray, |o×r|²/|r|²."""
    shrink = axes.mT / scales[:, :, None]
    o = -torch.einsum("nij,nj->ni", shrink, m)
    r = torch.einsum("nij,pj->pni", shrink, ray)
    length = (r * r).sum(-1)
    depth = -(o * r).sum(-1) / length
    factor = torch.ones_like(m[:, 0])
    if tau == 0:
        return (torch.linalg.cross(o.expand_as(r), r) ** 2).sum(-1) / length, depth, factor
    base = m / m[:, 2:]
    delta = (ray[:, None, :2] - base[:, :2]) * torch.tensor([camera.fx, camera.fy], dtype=m.dtype)
    columns = shrink[:, :, :2] / torch.tensor([camera.fx, camera.fy], dtype=m.dtype)
    crossed = torch.linalg.cross(o[:, :, None].expand_as(columns), columns, dim=1)
    conic = crossed.mT @ crossed
    along = torch.einsum("nij,nj->ni", shrink, base)
    unit = (along * along).sum(-1)
    conic = conic / unit[:, None, None]
    grown = torch.eye(2, dtype=m.dtype) + tau * conic
    filtered = torch.linalg.solve(grown, conic)
    q = torch.einsum("pni,nij,pnj->pn", delta, filtered, delta) * unit / length
    return q, depth, torch.linalg.det(grown) ** -0.5
