"""The interface of all engines: painting pictures, estimating depth, and optionally a denoiser for joint sampling.

All engines share one contract, **one world**: the levels of a job show one place at several scales. After the zoom and
dream stages, the middle of level k's picture x_k equals D(x_{k+1}), where D low-passes the next level's picture and
subsamples it to the coarser pixels (Generative Powers of Ten, which defines it for flat pictures). Where depth is
known, D warps through it. A finer level adds detail but no other content, so switching to it only changes the
resolution. Engines fulfil the contract in one of three ways:

- `Engine.multiview_consistent`: by construction. The stages neither paste nor resample.
- `Denoises`: all levels are sampled jointly (`sampling.sampler`), then a second time through depth (`stages.refine`).
- All others only paint: D of the finer picture is pasted into the middle of the coarser one, and a ring around it is
  painted again (`stages.agree`).

Pixels given by the artist are never changed, and no view paints over what shows them. The coarser levels show them
reduced, and the finer levels' pictures are adapted to them: they add detail below the given resolution. An engine whose
own world is multiview-consistent is no longer so where the artist gives pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from dreamzoom.geometry.view import DepthMap, View
from dreamzoom.progress import Report

if TYPE_CHECKING:
    from dreamzoom.sampling.denoiser import Denoiser


class Engine(Protocol):
    """Created once per job by `engines.registry.make`. Deterministic: the same arguments give the same result on the
    same machine.

    Attributes:
        name: The engine's name in requests.
        multiview_consistent: Whether the pictures of any two views show the same 3D scene by construction, as the
            procedural engine's do if the artist gives no pictures. The stages then neither paste nor resample, and may
            align depths by comparing pictures.
    """

    name: str
    multiview_consistent: bool

    def identity(self) -> dict[str, Any]:
        """What all results depend on besides the arguments (version, hashes of weights); part of each step's digest."""
        ...

    def dependencies(self, level: int) -> dict[str, Any]:
        """What this level's results also depend on, as JSON values; part of the digests of the level's steps."""
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
        """Generate the pixels that `mask` marks as UNKNOWN, and refine those marked as COARSE.

        Args:
            view: The camera; 2D engines may ignore it.
            rgb: (H, W, 3) float32 sRGB, the known pixels; undefined where `mask` is UNKNOWN.
            mask: (H, W) uint8: UNKNOWN, COARSE or KNOWN.
            prompt, negative_prompt: The prompts of the view's level.
            seed: The level's seed.
            report: Receives progress and raises `Cancelled`.

        Returns:
            (H, W, 3) float32 sRGB in 0..1. The caller composites the KNOWN pixels back.
        """
        ...

    def depth(
        self, view: View, rgb: np.ndarray, seed: int, report: Report, known: np.ndarray | None = None
    ) -> DepthMap:
        """Estimate the z-depth of a picture.

        Args:
            view, seed, report: As in `paint`.
            rgb: (H, W, 3) float32 sRGB.
            known: (H, W) z-depth in the frame's unit where the coarser levels or the artist give it, not finite
                elsewhere. Most models can't use it: their values are aligned to it afterwards.

        Returns:
            Values of the picture's size. If the model followed `known`, they are METRIC, in its unit.
        """
        ...


@runtime_checkable
class FreesMemory(Protocol):
    """Additional interface of engines that hold models in memory."""

    def free_memory(self) -> str:
        """Unload what can be loaded again, and use less memory from now on; returns the measures, for the log."""
        ...


@runtime_checkable
class SharesModels(Protocol):
    """Additional interface of engines whose loaded models can serve another request too."""

    def take_models(self, other: object) -> None:
        """Take the loaded models of another engine where they are the same; the rest of them is unloaded."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """Additional interface of engines whose pictures can be sampled jointly over all levels (`sampling.sampler`)."""

    def denoiser(self, report: Report) -> Denoiser:
        """The model as a callable with its noise schedule, prediction type and codec; each call passes the prompts."""
        ...

    def sampling(self) -> dict[str, Any]:
        """Keyword arguments for `sampling.levels.stream_levels`: steps, guidance, window."""
        ...
