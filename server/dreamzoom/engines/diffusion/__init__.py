"""Diffusion models that lie on this machine: pipelines that paint, models that tell depth, their files and memory."""
