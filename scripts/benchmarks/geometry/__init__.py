"""Depth, projection and alignment against worlds whose answer is known."""
