"""Launches the compiled kernels through the CUDA driver API, in torch's context and on its stream.

The driver compiles the PTX for the installed GPU on first use and caches the result.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import threading
from pathlib import Path

from core.errors import DreamzoomError
from dreamzoom.splats.cuda.layout import SIGNATURES

FOLDER = Path(__file__).parent / "ptx"
LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_CODES = {name: codes.split() for name, codes in SIGNATURES.items()}
_SCALARS = {"I": "<q", "F": "<f4x", "D": "<d"}


def library():
    """The CUDA driver's library. Raises OSError if there is none."""
    return ctypes.CDLL(LIBRARY)


class _Kernel:
    """A loaded kernel with a buffer for its arguments, 64-bit words, and pointers to them.

    The driver copies the arguments at every launch.
    """

    def __init__(self, function: ctypes.c_void_p, words: int):
        self.function = function
        self.values = (ctypes.c_uint64 * words)()
        base = ctypes.addressof(self.values)
        self.pointers = (ctypes.c_void_p * words)(*range(base, base + 8 * words, 8))


class Card:
    """One GPU and the kernels loaded on it.

    Attributes:
        device: The torch device of all tensors passed to kernels.
    """

    def __init__(self, index: int):
        import torch

        self.device = torch.device("cuda", index)
        self._library = library()
        with torch.cuda.device(self.device):
            torch.zeros(1, device=self.device)  # creates torch's context and makes it current
            self._context = ctypes.c_void_p()
            self._check(self._library.cuCtxGetCurrent(ctypes.byref(self._context)), "finding torch's context")
        self._kernels: dict[str, _Kernel] = {}
        self._lock = threading.Lock()

    def launch(self, name: str, blocks: int, threads: int, *arguments) -> None:
        """Launch a kernel on torch's current stream; returns without waiting for it.

        Args:
            name: One of `layout.SIGNATURES`.
            blocks, threads: Number of blocks and threads per block; 0 blocks launch nothing.
            arguments: As the signature states: contiguous tensors on this device, and numbers.
        """
        import torch

        if not blocks:
            return
        words = packed(name, arguments)
        stream = ctypes.c_void_p(torch.cuda.current_stream(self.device).cuda_stream)
        with self._lock:
            self._check(self._library.cuCtxSetCurrent(self._context), "choosing the GPU")
            kernel = self._kernels.get(name) or self._load(name, len(words))
            struct.pack_into(f"<{len(words)}Q", kernel.values, 0, *words)
            shape = (blocks, 1, 1, threads, 1, 1)
            started = self._library.cuLaunchKernel(kernel.function, *shape, 0, stream, kernel.pointers, None)
            self._check(started, f"starting {name}")

    def _load(self, name: str, words: int) -> _Kernel:
        """Load a kernel with `words` 64-bit words of arguments."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        text = (FOLDER / f"{name}.ptx").read_bytes() + b"\0"
        self._check(self._library.cuModuleLoadData(ctypes.byref(module), text), f"loading {name}")
        found = self._library.cuModuleGetFunction(ctypes.byref(function), module, name.encode())
        self._check(found, f"finding {name}")
        self._kernels[name] = _Kernel(function, words)
        return self._kernels[name]

    def _check(self, code: int, what: str) -> None:
        """Raise DreamzoomError if a driver call returned an error code; `what` describes the call."""
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            why = text.value.decode() if text.value else f"error {code}"
            raise DreamzoomError(
                f"the GPU failed while {what}: {why}", "update the NVIDIA driver, or restart the server"
            )


def packed(name: str, arguments: tuple) -> list[int]:
    """A kernel's arguments as 64-bit words, in numba's layout.

    An array is two null pointers, item count, bytes per item, data pointer, shape, and strides in bytes.
    """
    words: list[int] = []
    for code, value in zip(_CODES[name], arguments, strict=True):
        if code in _SCALARS:
            words += struct.unpack("<Q", struct.pack(_SCALARS[code], value))
            continue
        size = value.element_size()
        strides = [size * step for step in value.stride()]
        words += [0, 0, value.numel(), size, value.data_ptr(), *value.shape, *strides]
    return words
