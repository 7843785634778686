"""Gaussian splats: rasterisers on the CPU and on NVIDIA GPUs, and the fit of surfels to pictures."""
