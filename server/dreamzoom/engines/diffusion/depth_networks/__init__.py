"""Depth networks that no library has, built from safetensors files: MoGe-2 and Depth Anything 3.

`shapes` reads sizes from a file's header, before anything is loaded; `weights` fills a network of these sizes.
"""
