"""Gaussian splats: the set, its rasterisers, the fit, the filters, and their files."""
