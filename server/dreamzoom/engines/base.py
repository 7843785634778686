"""What every engine offers, and what it is told: paint (S), depth (D), and a denoiser for joint sampling.

The contract of all engines is **one world**: the levels of a job show one place at several scales. When the zoom and
dream stages are done, the middle of level k's picture x_k equals D(x_{k+1}), the next level's picture low-passed and
subsampled to the coarser pixels (Generative Powers of Ten; there for flat pictures). Where depth is known, D
warps through it. A finer level adds detail, never other content, so going over to it is a change of resolution. Three
kinds of engine keep the contract in three ways:

- `Engine.multiview_consistent`: by construction. The stages neither paste nor sample again.
- `Denoises`: all levels are sampled jointly (`zoom.sampler`), and again through depth (`stages.refine`).
- Others only paint: the finer picture's D is pasted into the coarser one's middle, and what surrounds it is painted
  again (`stages.agree`).

Pixels that the artist gives stay as given. Of engines that are not multiview-consistent the finer levels' pictures
follow them there; a multiview-consistent engine goes on to show its own world around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from dreamzoom.geometry.view import DepthMap, View
from dreamzoom.report import Report

if TYPE_CHECKING:
    from dreamzoom.zoom.denoiser import Denoiser


class Engine(Protocol):
    """Made once per job by `engines.registry.make`. Same arguments, same result, on the same machine.

    Attributes:
        name: As requests name it.
        multiview_consistent: Whether pictures of any two views show one 3D place by construction, as the procedural
            engine's do. The stages then neither paste nor sample again, and may align depths by comparing pictures.
    """

    name: str
    multiview_consistent: bool

    def identity(self) -> dict[str, Any]:
        """What the results depend on beside the arguments (version, weights' hashes); goes into every step's digest."""
        ...

    def dependencies(self, level: int) -> dict[str, Any]:
        """What this level's results depend on beside that: JSON values, for the digests of the level's steps."""
        ...

    def paint(
        self,
        view: View,
        rgb: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        negative_prompt: str,
        seed: int,
        report: Report,
    ) -> np.ndarray:
        """S: imagine what `mask` says is unknown or coarse.

        Args:
            view: The camera; engines that imagine in 2D need not look at it.
            rgb: (H, W, 3) float32 sRGB, what is known; undefined where `mask` is UNKNOWN.
            mask: (H, W) uint8: UNKNOWN, COARSE or KNOWN.
            prompt, negative_prompt: Of the view's level.
            seed: The level's seed.
            report: Progress, and where a cancel arrives.

        Returns:
            (H, W, 3) float32 sRGB in 0..1. The caller composites the KNOWN pixels back.
        """
        ...

    def depth(self, view: View, rgb: np.ndarray, seed: int, report: Report) -> DepthMap:
        """D: the depth of a picture, of the same size."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """What an engine offers beside, when its pictures can be sampled jointly over all levels (`zoom.sampler`)."""

    def denoiser(self, report: Report) -> Denoiser:
        """The model as a callable with its schedule, prediction and codec; prompts come with each call."""
        ...

    def sampling(self) -> dict[str, Any]:
        """Keyword arguments for `zoom.levels.stream_levels`: steps, guidance, window."""
        ...
