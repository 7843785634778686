"""The diffusion engine: what a run costs beside the networks' own work, at 512².

With an NVIDIA card: a job with networks of the size of Stable Diffusion 1.5 and random weights; all forward passes are
timed apart, what remains is the pipeline's own. Without one: the same with networks in small; what their calls would
cost in true size is taken from the operations of each (counted on models without memory) and the speed at which these
cores, or a card, do them. `overhead_share` then compares like with like: the own work and the networks on these cores.

`overhead_share` is of what the engine is asked for: painting, depth, and the joint sampling of all levels. `job_share`
counts all other stages of the job as own work too: projection, alignment, the fit of the splats, files.
`--flow` instead shows the joint step on a model with a known answer, as DDPM and as flow matching (some minutes).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import diffusers
import models
import torch
from torch.utils.flop_counter import FlopCounterMode

from dreamzoom.engines import registry
from dreamzoom.example import example
from dreamzoom.pipeline.folder import Folder
from dreamzoom.pipeline.records import records
from dreamzoom.pipeline.runner import run
from dreamzoom.pipeline.steps import build
from dreamzoom.report import Report
from dreamzoom.request import validation
from dreamzoom.stages.base import layout

from . import flow_table

SIDE = 512
LEVELS = 2
STEPS, TRUE_STEPS = 4, 30
CARD = 40e12
"""Operations a second that networks reach on a card of the middle range in bf16."""


class Clock:
    """Counts and times the forward passes of networks."""

    def __init__(self):
        self.seconds, self.calls, self.pictures = defaultdict(float), defaultdict(int), defaultdict(int)
        self._began: dict[str, float] = {}

    def watch(self, name: str, module: torch.nn.Module) -> None:
        """Time a module's calls under a name."""

        def before(_, arguments, named):
            self._began[name] = _now()
            first = next(thing for thing in [*arguments, *named.values()] if isinstance(thing, torch.Tensor))
            self.pictures[name] += len(first)

        def after(*_):
            self.seconds[name] += _now() - self._began[name]
            self.calls[name] += 1

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.register_forward_hook(after)


def _now() -> float:
    """Seconds, with nothing left waiting on a card."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _true_unet() -> diffusers.UNet2DConditionModel:
    return diffusers.UNet2DConditionModel(
        sample_size=SIDE // 8, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280)
    )


def _true_vae() -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )


def measure(steps: int, true_size: bool) -> dict:
    """One job; its time by stage, and what its networks did."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        request = example(LEVELS, (SIDE, SIDE)) | {"quality": "draft"}
        request["engine"] = {
            "name": "diffusion",
            "model": str(models.stable_diffusion(place / "sd", native=SIDE)),
            "depth_model": str(models.depth_anything(place / "depth")),
            "steps": steps,
            "offload": "none",
        }
        request = validation.convert_request(request)
        engine, clock = registry.make(request), Clock()
        painter = engine.painter(Report())
        pipe = painter.pipe
        if true_size:
            _enlarge(painter, engine.where)
        for name, part in {"unet": pipe.unet, "encode": pipe.vae.encoder, "decode": pipe.vae.decoder}.items():
            clock.watch(name, part)
        clock.watch("text", pipe.text_encoder)
        asked = _timed(engine, ("paint", "depth"))
        folder = Folder(place / "job")
        with folder.lock():
            folder.write(layout.REQUEST, validation.encode_request(request))
            began = _now()
            run(build(request, engine), folder)
            whole = _now() - began
        stages = defaultdict(float)
        for record in records(folder):
            stages[record["stage"]] += record["seconds"]
    asked["sampling"] = stages["zoom"]
    return {"seconds": whole, "stages": dict(stages), "clock": clock, "asked": sum(asked.values())}


def _timed(engine, names: tuple[str, ...]) -> dict[str, float]:
    """Time an engine's methods; the seconds are filled in as they are called."""
    spent = dict.fromkeys(names, 0.0)

    def timed(name, method):
        def call(*arguments):
            began = _now()
            try:
                return method(*arguments)
            finally:
                spent[name] += _now() - began

        return call

    for name in names:
        setattr(engine, name, timed(name, getattr(engine, name)))
    return spent


def cores_speed() -> float:
    """Operations a second that these cores reach in a convolution as the networks have them, float32."""
    layer, picture = torch.nn.Conv2d(320, 320, 3, padding=1), torch.randn(1, 320, 64, 64)
    best = float("inf")
    with torch.no_grad():
        for _ in range(8):
            began = time.perf_counter()
            layer(picture)
            best = min(best, time.perf_counter() - began)
    return 2 * 320 * 320 * 9 * 64 * 64 / best


def _enlarge(painter, where) -> None:
    """Put networks of true size and random weights into a pipeline; its words are widened by zeros to fit them."""
    pipe = painter.pipe
    with torch.device(where.device):
        unet, vae = _true_unet().to(where.dtype).eval(), _true_vae().to(where.dtype).eval()
    pipe.register_modules(unet=unet, vae=vae)
    missing = 768 - models.WIDTH
    unet.register_forward_pre_hook(
        lambda _, arguments, named: (
            arguments,
            named | {"encoder_hidden_states": torch.nn.functional.pad(named["encoder_hidden_states"], (0, missing))},
        ),
        with_kwargs=True,
    )


def operations() -> dict[str, float]:
    """Multiplications and additions of one picture through each network of Stable Diffusion 1.5 at 512²."""
    with torch.device("meta"):
        unet, vae = _true_unet(), _true_vae()
        z, words = torch.empty(1, 4, SIDE // 8, SIDE // 8), torch.empty(1, 77, 768)
        picture = torch.empty(1, 3, SIDE, SIDE)

        def counted(work) -> float:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                work()
            return float(counter.get_total_flops())

        return {
            "unet": counted(lambda: unet(z, torch.zeros(1), words)),
            "encode": counted(lambda: vae.encoder(picture)),
            "decode": counted(lambda: vae.decoder(z)),
            "text": 13e9,  # CLIP-L, 77 tokens: of no weight here
        }


def main() -> None:
    """Print the figures, as a table or as JSON."""
    if "--flow" in sys.argv:
        _tell({"rows": flow_table.rows()})
        return
    card = torch.cuda.is_available()
    steps = TRUE_STEPS if card else STEPS
    found, flops = measure(steps, card), operations()
    clock = found["clock"]
    inside = sum(clock.seconds.values())
    own, whole_own = found["asked"] - inside, found["seconds"] - inside
    result = {
        "measured_on": torch.cuda.get_device_name() if card else "no card: estimated from counted calls",
        "side": SIDE,
        "levels": LEVELS,
        "steps": steps,
        "own_s": round(own, 2),
        "networks_s": round(inside, 2),
        "stages_s": {name: round(seconds, 2) for name, seconds in found["stages"].items()},
        "pictures_through": dict(clock.pictures),
        "calls": dict(clock.calls),
        "gflop_each": {name: round(value / 1e9) for name, value in flops.items()},
    }
    if card:
        result |= {"overhead_share": _share(own, inside), "job_share": _share(whole_own, inside)}
    else:
        # the sampler's own work is done once a step, as its calls are: all are brought to the usual steps
        more = (TRUE_STEPS / steps - 1) * max(own, 0.0)
        work = TRUE_STEPS / steps * sum(clock.pictures[part] * flops[part] for part in flops)
        networks = work / cores_speed()
        result |= {
            "at_30_steps_s": {"own": round(own + more, 2), "networks": round(networks, 1)},
            "overhead_share": _share(own + more, networks),
            "job_share": _share(whole_own + more, networks),
            "overhead_share_if_only_networks_ran_on_a_card": _share(own + more, work / CARD),
        }
    _tell(result)


def _share(own: float, networks: float) -> float:
    return round(own / (own + networks), 3)


def _tell(result: dict) -> None:
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    for row in result.pop("rows", []):
        sys.stdout.write("  ".join(f"{key} {value}" for key, value in row.items()) + "\n")
    for name, value in result.items():
        sys.stdout.write(f"{name:20} {value}\n")


if __name__ == "__main__":
    main()
