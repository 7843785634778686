"""Compilation of device functions: new ones, and functions of the CPU code, whose source is compiled for the GPU."""

from __future__ import annotations

import math
import types

import numpy as np
from numba import cuda
from numba.core import config

BORROWED: list = []
"""The CPU's functions that are compiled for the device."""

_NUMPY = types.ModuleType("numpy_on_the_device")
_NUMPY.__dict__.update({name: getattr(math, name) for name in ("sqrt", "exp", "log", "isfinite", "ceil", "floor")})
_NUMPY.__dict__.update(inf=math.inf, nan=math.nan, float32=np.float32)


def device(function):
    """Decorator of functions that kernels call. The simulator runs them unchanged, so they must not use `cuda`."""
    return function if config.ENABLE_CUDASIM else cuda.jit(device=True)(function)


def borrowed(compiled, **names):
    """A compiled function of the CPU for the device: the same code, numpy's functions on scalars replaced by `math`'s.

    Args:
        compiled: A function decorated with `splat_projection.compiled`.
        names: The device's versions of the functions that it calls.
    """
    function = compiled.py_func
    BORROWED.append(function)
    scope = {**function.__globals__, "np": _NUMPY, **names}
    return device(types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__))
