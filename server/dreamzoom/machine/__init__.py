"""Describes this machine and measures its speed: `dreamzoom check`."""
