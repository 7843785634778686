"""Rendering and evaluation of finished jobs, and films of a zoom without 3D."""
