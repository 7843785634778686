"""Compile the splat kernels to PTX, the assembly that the CUDA driver reads: server/dreamzoom/splats/cuda/ptx.

    python scripts/build_ptx.py

For developers who changed a kernel. It needs no GPU, but numba-cuda with the compiler of CUDA 12, which are not part of
the server's environment. Any environment with these packages can be used:

    pip install "numba-cuda[cu12]" numpy scipy

CUDA 12 is the last version that compiles for GPUs of 2014. The PTX is declared as ISA 6.0, since it uses no newer
instructions; ptxas, the assembler of the same package, verifies this for each file before it is written.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import types
from pathlib import Path

SERVER = Path(__file__).resolve().parent.parent / "server"
PTX = SERVER / "dreamzoom" / "splats" / "cuda" / "ptx"
CAPABILITY = (5, 0)
ISA = "6.0"
CARDS = ("sm_50", "sm_75", "sm_90")
"""GPU architectures for which every PTX file is assembled as a check."""


def main() -> None:
    """Compile all kernels and write the digest of their sources."""
    sys.path.insert(0, str(SERVER))
    try:
        from numba_cuda import __version__ as version
    except ImportError:
        sys.exit('dreamzoom: pip install "numba-cuda[cu12]" first')
    from dreamzoom.splats.cuda import kernels
    from dreamzoom.splats.cuda.layout import SIGNATURES

    _prepare_compiler()
    PTX.mkdir(exist_ok=True)
    for old in PTX.glob("*.ptx"):
        old.unlink()
    for name, codes in SIGNATURES.items():
        text = compiled(kernels.kernel(name), name, codes)
        assemble(name, text)
        (PTX / f"{name}.ptx").write_text(text, encoding="ascii", newline="\n")
        print(f"{name}: {len(text) // 1024} kB")
    (PTX / "sources.sha256").write_text(kernels.digest() + "\n", encoding="ascii", newline="\n")
    print(f"compiled with numba-cuda {version}")


def _prepare_compiler() -> None:
    """Let numba compile without a GPU, and disable fused multiply-add.

    Without fused operations, all kernels compute the same bits from the same formula: a hit is the same in the pass
    that lists it and in the pass that reads it.
    """
    from numba.cuda import dispatcher
    from numba.cuda.cudadrv import nvvm

    dispatcher.get_current_device = lambda: types.SimpleNamespace(compute_capability=CAPABILITY)
    plain = nvvm.compile_ir
    nvvm.compile_ir = lambda code, **options: plain(code, **options, fma=0)


def compiled(kernel, name: str, codes: str) -> str:
    """The PTX of a kernel with the argument types of `layout.SIGNATURES`; its entry point is called `name`."""
    from numba import boolean, cuda, float32, float64, int32, int64
    from numba.types import Array

    arrays = {"f": float32, "d": float64, "i": int32, "l": int64, "b": boolean}
    scalars = {"I": int64, "F": float32, "D": float64}
    signature = tuple(
        scalars[code] if code in scalars else Array(arrays[code[0]], int(code[1]), "C") for code in codes.split()
    )
    text, _ = cuda.compile_ptx(kernel.py_func, signature, cc=CAPABILITY)
    entry = re.search(r"\.entry\s+(\S+?)\(", text)
    if entry is None:
        sys.exit(f"dreamzoom: {name}: the compiler's output contains no entry point")
    text = text.replace(entry[1], name)
    lines = [line.rstrip() for line in text.splitlines() if "NumbaEnv" not in line and not line.startswith("//")]
    lines = [f".version {ISA}" if line.startswith(".version") else line for line in lines]
    return "\n".join(line for line in lines if line) + "\n"


def assemble(name: str, text: str) -> None:
    """Exit with an error unless ptxas accepts the PTX for each architecture in CARDS."""
    package = importlib.util.find_spec("nvidia.cuda_nvcc")
    if package is None or not package.submodule_search_locations:
        sys.exit("dreamzoom: ptxas is missing: pip install nvidia-cuda-nvcc-cu12")
    ptxas = next(Path(package.submodule_search_locations[0]).glob("bin/ptxas*"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(text, encoding="ascii")
        for card in CARDS:
            command = [str(ptxas), f"-arch={card}", "-o", str(Path(folder, "kernel.cubin")), str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"dreamzoom: {name}: ptxas rejects it for {card}\n{done.stderr}")


if __name__ == "__main__":
    main()
