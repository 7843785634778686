"""The artist's own scene of splats, which is level 0."""
