"""The diffusion engine: inpainting pipelines, depth models, and the management of their files and memory."""
