"""What the tortures do to files: one module for each kind of data."""
