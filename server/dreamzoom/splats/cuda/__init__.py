"""The rasteriser and the fit on an NVIDIA GPU, with the image model of `cpu_rasterizer` and `backward`.

`kernels` holds the kernels' sources in Python; scripts/build_ptx.py compiles them to the PTX files in `ptx`, which
`driver` loads. Running them requires only the NVIDIA driver and a CUDA build of torch. `probe` tests whether they run
on this machine. In this package a "card" is one GPU (`driver.Card`).
"""
