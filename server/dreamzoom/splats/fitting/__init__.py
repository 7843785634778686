"""Fitting of surfels to pictures, on the CPU or on a GPU."""
