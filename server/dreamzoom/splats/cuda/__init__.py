"""The exact rasteriser and its fit on an NVIDIA GPU: the image model of `cpu` and `gradient`, launched by the driver.

`kernels` holds their sources in Python; scripts/build_ptx.py compiles them to the texts in `ptx`, which `driver` loads.
Nothing but the driver and a CUDA build of torch is needed to run them. `probe` says whether they run here.
"""
