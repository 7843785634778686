"""Tests whether the kernels run on this machine, by running one."""

from __future__ import annotations

import ctypes
from functools import cache

from core.errors import DreamzoomError
from dreamzoom.splats.cuda.driver import Card, library

_COUNT = 1000


def card() -> Card | None:
    """The GPU for rendering and fitting splats; None if the CPU has to be used."""
    return _found()[0]


def obstacle() -> str:
    """Why no GPU can be used, and what would change that, in one line; empty if one can."""
    return _found()[1]


@cache
def _found() -> tuple[Card | None, str]:
    """The GPU or the obstacle. torch is imported only if an NVIDIA driver finds a GPU."""
    if not sees_a_gpu():
        return (
            None,
            "an NVIDIA GPU and its driver are needed, none is found; GPUs of AMD and Apple are not used for this",
        )
    import torch

    if not torch.cuda.is_available():
        return (
            None,
            "an NVIDIA GPU is there, but torch can't use it: install a CUDA build of torch that suits the driver",
        )
    try:
        found = Card(torch.cuda.current_device())
        if _answers(found):
            return found, ""
    except (DreamzoomError, RuntimeError, OSError) as problem:
        return (
            None,
            f"the GPU can't run the kernels ({str(problem).splitlines()[0][:160]}): install a newer NVIDIA driver",
        )
    return None, "the GPU computes wrong values in a test: install another version of the NVIDIA driver"


def sees_a_gpu() -> bool:
    """Whether there is an NVIDIA driver with at least one GPU; takes milliseconds and no GPU memory."""
    try:
        driver = library()
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _answers(found: Card) -> bool:
    """Whether the test kernel gives the expected values."""
    import torch

    out = torch.zeros(_COUNT, dtype=torch.int32, device=found.device)
    found.launch("probe", -(-_COUNT // 128), 128, out)
    return out.tolist() == [3 * i + 1 for i in range(_COUNT)]
