"""The diffusion engine, without its weights."""
