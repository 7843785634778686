"""Painting by instruction: models that edit continue a picture, and what they changed in its known part is undone."""
