"""DINOv2, a vision transformer, with the additions of Depth Anything 3 for single pictures.

Oquab et al. 2023, DINOv2; Lin et al. 2025, Depth Anything 3, section 3.2. Not by the class of `transformers`, which has
neither the additions nor the original way to scale position embeddings, with which these models were trained. Modules
are named as the tensors in the published files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from dreamzoom.engines.diffusion.depth_networks.shapes import HEAD_WIDTH, PATCH, Backbone

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pictures that it was trained on, sRGB in 0..1."""
BLOCK_EPSILON = 1e-6
ROTATION_BASE = 100.0
OFFSET = 0.1
"""Added to a new number of patches when position embeddings are scaled, as in its training."""


def normalised(picture: Tensor) -> Tensor:
    """Pictures (B, 3, H, W), sRGB in 0..1, as the network takes them."""
    mean, std = (torch.tensor(values).to(picture)[:, None, None] for values in (MEAN, STD))
    return (picture - mean) / std


class Dinov2(nn.Module):
    """The transformer.

    Args:
        shape: Its sizes.
    """

    def __init__(self, shape: Backbone):
        super().__init__()
        self.shape = shape
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, shape.width, PATCH, PATCH)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.empty(1, shape.side**2 + 1, shape.width))
        if shape.camera_from < shape.depth:
            self.camera_token = nn.Parameter(torch.empty(1, 2, shape.width))
        self.blocks = nn.ModuleList(Block(shape, normed=index >= shape.normed_from) for index in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, shape.norm_epsilon)

    def forward(self, picture: Tensor, layers: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """Tokens after some of the blocks.

        Args:
            picture: (B, 3, H, W), normalised; sides are multiples of 14.
            layers: Numbers of the blocks, in rising order.

        Returns:
            For each layer, as (B, 1 + N, width), the class token first: the tokens after the last block that looked at
            one picture alone, and those after the layer, not normalised. Both are the same before `camera_from`; from
            there on every odd block looks at all views together, of which there is one here.
        """
        shape = self.shape
        grid = (picture.shape[-2] // PATCH, picture.shape[-1] // PATCH)
        tokens = self.patch_embed["proj"](picture).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1) + self._positions(grid)
        within, across = _rotations(grid, tokens) if shape.rotated_from < shape.depth else (None, None)
        alone, found = tokens, []
        for index, block in enumerate(self.blocks):
            if index == shape.camera_from:
                camera = self.camera_token[:, :1].expand(len(tokens), -1, -1)
                tokens = torch.cat([camera, tokens[:, 1:]], 1)
            together = index >= shape.camera_from and index % 2 == 1
            rotation = (across if together else within) if index >= shape.rotated_from else None
            tokens = block(tokens, rotation)
            if not together:
                alone = tokens
            if index in layers:
                found.append((alone, tokens))
        return found

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings (1, 1 + N, width) of a grid of patches."""
        side = self.shape.side
        if grid == (side, side):
            return self.pos_embed
        first, rest = self.pos_embed[:, :1], self.pos_embed[:, 1:].float()
        square = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        factors = [(count + OFFSET) / side for count in grid]
        scaled = interpolate(square, scale_factor=factors, mode="bicubic", align_corners=False)
        return torch.cat([first, scaled.flatten(2).transpose(1, 2).to(first.dtype)], 1)


class Block(nn.Module):
    """Attention and MLP, each behind a normalisation and in front of a scale, and added."""

    def __init__(self, shape: Backbone, normed: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, BLOCK_EPSILON)
        self.attn = Attention(shape, normed)
        self.ls1 = LayerScale(shape.width)
        self.norm2 = nn.LayerNorm(shape.width, BLOCK_EPSILON)
        self.mlp = Mlp(shape.width, shape.hidden)
        self.ls2 = LayerScale(shape.width)

    def forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """Tokens (B, N, width) to the same shape."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens), rotation))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class Attention(nn.Module):
    """Self-attention of all tokens, with normalised and rotated queries and keys where wanted."""

    def __init__(self, shape: Backbone, normed: bool):
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.q_norm = nn.LayerNorm(HEAD_WIDTH) if normed else nn.Identity()
        self.k_norm = nn.LayerNorm(HEAD_WIDTH) if normed else nn.Identity()
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, tokens: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """Tokens (B, N, width) to the same shape."""
        parts = self.qkv(tokens).unflatten(-1, (3, self.heads, HEAD_WIDTH))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, heads, N, HEAD_WIDTH) each
        query, key = self.q_norm(query), self.k_norm(key)
        if rotation is not None:
            query, key = _rotated(query, *rotation), _rotated(key, *rotation)
        mixed = scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, width) to the same shape."""
        return self.fc2(gelu(self.fc1(tokens)))


class LayerScale(nn.Module):
    """A factor for each channel."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, width) to the same shape."""
        return tokens * self.gamma


def _rotations(grid: tuple[int, int], like: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Cosines and sines for tokens on a grid, by place, and as blocks that look at all views take them: every patch at
    the same place. The class token is at 0, the first patch at (1, 1).
    """
    rows, columns = torch.meshgrid(*(torch.arange(1, count + 1) for count in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1)
    first = torch.zeros(1, 2)
    by_place, same = torch.cat([first, places]), torch.cat([first, torch.ones(len(places), 2)])
    return _turns(by_place, like), _turns(same, like)


def _turns(places: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine (N, 2, 1, HEAD_WIDTH / 4) of places (N, 2): half of a head turns by row, half by column."""
    pairs = HEAD_WIDTH // 4
    speeds = ROTATION_BASE ** (-torch.arange(pairs) / pairs)
    angles = (places[:, :, None] * speeds)[:, :, None]
    return angles.cos().to(like), angles.sin().to(like)


def _rotated(values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Queries or keys (B, heads, N, HEAD_WIDTH), each pair of numbers turned by its token's place."""
    pairs = values.unflatten(-1, (2, 2, HEAD_WIDTH // 4))
    first, second = pairs[..., :1, :], pairs[..., 1:, :]
    turned = torch.cat([first * cosine - second * sine, second * cosine + first * sine], -2)
    return turned.flatten(-3)
