"""The refit on an NVIDIA GPU, with gsplat's kernels where that is installed; the steps are those of `refit.CpuRefit`.

gsplat adds gradients up in any order, so two refits on a GPU agree up to rounding only.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from core.gaussians import Gaussians
from core.spherical_harmonics import SH_C0
from dreamzoom.progress import Report
from dreamzoom.splats.cuda import probe
from dreamzoom.splats.fitting.adam import Rates
from dreamzoom.splats.viewers.parameters import BETAS, FAINT, MOST_LOGIT
from dreamzoom.splats.viewers.projection import BLUR
from dreamzoom.splats.viewers.rasterize import seen_colours
from dreamzoom.splats.viewers.refit import View

Rasterization = Callable[..., tuple[Any, Any, dict]]
"""`gsplat.rasterization`, or `torch_reference.rasterization`."""
FAR = 1e18


def gsplat_rasterization(report: Report) -> Rasterization | None:
    """`gsplat.rasterization` if it works here; None otherwise, and why not is logged where there is a GPU."""
    if probe.card() is None or not torch.cuda.is_available():
        return None
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints while it compiles
            import gsplat  # pyright: ignore[reportMissingImports]

            _try(gsplat.rasterization)
    except Exception as error:  # not installed, no compiler, another version of CUDA: whatever it is, the CPU serves
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        report.log(f"the refit for viewers runs on the CPU, since gsplat can't be used: {told}")
        return None
    return gsplat.rasterization


def _try(rasterization: Rasterization) -> None:
    """Render one splat. Raises whatever the rasteriser raises, or RuntimeError if it shows nothing."""
    one = torch.ones(1, 3, device="cuda")
    turn = torch.tensor([[1.0, 0, 0, 0]], device="cuda")
    means = torch.tensor([[0.0, 0, 2]], device="cuda")
    lens = torch.tensor([[[8.0, 0, 8], [0, 8, 8], [0, 0, 1]]], device="cuda")
    view = torch.eye(4, device="cuda")[None]
    picture, _, _ = rasterization(means, turn, one, one[:, 0] * 0.9, one, view, lens, 16, 16, packed=False)
    if not float(picture.max()) > 0.5:
        raise RuntimeError("a test picture stays black")


class TorchRefit:
    """The refit with a differentiable rasteriser of torch.

    Args:
        splats: What it starts with.
        views: What is to be shown.
        rasterization: The rasteriser.
        device: Of the tensors.
    """

    def __init__(self, splats: Gaussians, views: Sequence[View], rasterization: Rasterization, device: str = "cuda"):
        self._given, self._views, self._rasterization, self._device = splats, views, rasterization, device
        logits = np.clip(splats.logit_opacities, -9, MOST_LOGIT)[:, None]
        values = {
            "means": splats.means,
            "log_scales": splats.log_scales,
            "quaternions": splats.quaternions,
            "logit_opacities": logits,
            "rgb": np.clip(splats.rgb, 0, 1),
        }
        self._values = {name: self._tensor(part).requires_grad_() for name, part in values.items()}
        self._memory = {name: [torch.zeros_like(part) for _ in range(2)] for name, part in self._values.items()}
        self._ages = torch.zeros(len(splats), device=device)
        self._goals = [self._tensor(view.rgb) for view in views]

    def _tensor(self, values) -> torch.Tensor:
        return torch.tensor(np.asarray(values, np.float32), device=self._device)

    def look_up(self, report: Report) -> None:
        """Nothing: every view is rendered from all splats."""
        report.check()

    def descend(self, index: int, rates: Rates) -> float:
        """One step of Adam on one view; returns its mean squared error before the step."""
        shown, radii = self._shown(self._views[index])
        away = shown - self._goals[index]
        gradients = torch.autograd.grad(0.5 * away.square().sum(), list(self._values.values()))
        self._step(radii.reshape(len(self._ages), -1).amax(-1) > 0, gradients, rates)
        return float(away.detach().square().mean())

    def _shown(self, view: View) -> tuple[torch.Tensor, torch.Tensor]:
        """The picture (H, W, 3) of a view, and the splats' radii in it."""
        values, camera = self._values, view.camera
        matrix = torch.tensor(np.linalg.inv(camera.camera_to_frame), dtype=torch.float32, device=self._device)
        lens = self._tensor([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
        rgb = values["rgb"]
        if self._given.sh.shape[1] > 1:
            rgb = (rgb + self._tensor(seen_colours(self._given, camera) - self._given.rgb)).clamp(min=0)
        picture, _, meta = self._rasterization(
            values["means"],
            torch.nn.functional.normalize(values["quaternions"], dim=-1),
            values["log_scales"].exp(),
            torch.sigmoid(values["logit_opacities"][:, 0]),
            rgb,
            matrix[None],
            lens[None],
            camera.width,
            camera.height,
            near_plane=view.near,
            far_plane=FAR,
            eps2d=BLUR,
            packed=False,
            rasterize_mode="classic",
        )
        return picture[0], meta["radii"]

    @torch.no_grad()
    def _step(self, seen: torch.Tensor, gradients: Sequence[torch.Tensor], rates: Rates) -> None:
        """One step of Adam on the rows `seen`, then clipping, as in `parameters`."""
        self._ages += seen
        age = self._ages.clamp(1, 1000)[:, None]
        values = self._values
        sigma = values["log_scales"][:, :2].amin(1, True).exp()
        for (name, part), gradient in zip(values.items(), gradients):
            unit, (first, second) = sigma if name == "means" else 1.0, self._memory[name]
            g = gradient * unit
            change = seen[:, None] & torch.isfinite(g)
            for moment, beta, new in ((first, BETAS[0], g), (second, BETAS[1], g * g)):
                moment.add_(torch.where(change, (1 - beta) * (new - moment), 0))
            lift1, lift2 = 1 / (1 - BETAS[0] ** age), 1 / (1 - BETAS[1] ** age)
            step = getattr(rates, name) * unit * first * lift1 / ((second * lift2).sqrt() + FAINT)
            part.sub_(torch.where(change, step, 0))
        values["rgb"].clamp_(0, 1)
        values["logit_opacities"].clamp_(-9, MOST_LOGIT)
        values["quaternions"].div_(values["quaternions"].norm(dim=-1, keepdim=True).clamp(min=1e-12))

    def gaussians(self) -> Gaussians:
        """The current splats."""
        values = {name: part.detach().cpu().numpy() for name, part in self._values.items()}
        sh = self._given.sh.copy()
        sh[:, 0] = (values["rgb"] - np.float32(0.5)) / np.float32(SH_C0)
        logits = values["logit_opacities"][:, 0]
        return Gaussians(values["means"], values["log_scales"], values["quaternions"], logits, sh)
