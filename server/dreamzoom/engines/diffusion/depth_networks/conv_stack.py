"""The stacks of convolutions of MoGe-2: maps from coarse to fine, each twice the size of the one before.

Modules are named as the tensors in the published files.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dreamzoom.engines.diffusion.depth_networks.sizes import Stage

GROUP = 32
"""Channels of one group in the second normalisation of a residual block."""


class ConvStack(nn.Module):
    """A stack.

    Args:
        stages: From coarse to fine.
    """

    def __init__(self, stages: Sequence[Stage]):
        super().__init__()
        self.input_blocks = nn.ModuleList(_pointwise(stage.takes, stage.width) for stage in stages)
        self.res_blocks = nn.ModuleList(
            nn.Sequential(*(Residual(stage.width, hidden, stage.normed) for hidden in stage.hidden)) for stage in stages
        )
        self.output_blocks = nn.ModuleList(_pointwise(stage.width, stage.gives) for stage in stages)
        self.resamplers = nn.ModuleList(
            _enlarging(stage.enlarged, stage.width, finer.width) for stage, finer in zip(stages, stages[1:])
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C, h, w), one a stage, to as many of the same sizes."""
        found, given = None, []
        for index, (entry, blocks, out) in enumerate(zip(self.input_blocks, self.res_blocks, self.output_blocks)):
            taken = entry(maps[index])
            found = blocks(taken if found is None else found + taken)
            given.append(out(found))
            if index < len(self.resamplers):
                found = self.resamplers[index](found)
        return given


class Residual(nn.Module):
    """Two convolutions that are added."""

    def __init__(self, width: int, hidden: int, normed: tuple[bool, bool]):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(1, width) if normed[0] else nn.Identity(),
            nn.ReLU(),
            _convolution(width, hidden),
            nn.GroupNorm(max(1, hidden // GROUP), hidden) if normed[1] else nn.Identity(),
            nn.ReLU(),
            _convolution(hidden, width),
        )

    def forward(self, found: Tensor) -> Tensor:
        """A map (B, C, h, w) to the same shape."""
        return found + self.layers(found)


def _pointwise(takes: int, gives: int) -> nn.Module:
    """A convolution of single pixels; nothing where none go out."""
    return nn.Conv2d(takes, gives, 1) if gives else nn.Identity()


def _convolution(takes: int, gives: int) -> nn.Conv2d:
    return nn.Conv2d(takes, gives, 3, padding=1, padding_mode="replicate")


def _enlarging(kind: str, takes: int, gives: int) -> nn.Sequential:
    """Twice the size, other channels."""
    if kind == "transposed":
        return nn.Sequential(nn.ConvTranspose2d(takes, gives, 2, 2), _convolution(gives, gives))
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), _convolution(takes, gives))
