"""The fit and the rasteriser."""
