"""The splat kernels in numba's own CUDA simulator: their Python sources run thread by thread on the CPU.

Import this before anything of numba.cuda: it decides which of the two numba offers.
"""

import os

import numpy as np
import torch
from numba.core import config

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # read again whenever numba compiles
config.reload_config()

from numba import cuda  # noqa: E402

from dreamzoom.splats.cuda import kernels  # noqa: E402
from dreamzoom.splats.cuda.driver import Card, packed  # noqa: E402
from dreamzoom.splats.cuda.layout import SIGNATURES  # noqa: E402

assert "simulator" in cuda.jit.__module__, "numba.cuda was imported before the simulator was chosen"

TYPES = {"f": torch.float32, "d": torch.float64, "i": torch.int32, "l": torch.int64, "b": torch.bool}
SCALARS = {"I": int, "F": np.float32, "D": np.float64}


class SimulatedCard(Card):
    """Takes the place of `driver.Card`: tensors lie on the CPU; arguments are held to the kernels' signatures."""

    def __init__(self):
        self.device = torch.device("cpu")
        self.launched = {}

    def launch(self, name, blocks, threads, *arguments):
        assert packed(name, arguments)
        given = []
        for code, value in zip(SIGNATURES[name].split(), arguments, strict=True):
            if code in SCALARS:
                given.append(SCALARS[code](value))
            else:
                assert value.is_contiguous() and value.device == self.device, (name, code)
                assert value.dtype == TYPES[code[0]] and value.ndim == int(code[1]), (name, code, value.dtype)
                given.append(value.numpy())
        self.launched[name] = self.launched.get(name, 0) + 1
        if blocks:
            with np.errstate(all="ignore"):
                kernels.kernel(name)[blocks, threads](*given)
