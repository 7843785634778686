"""The fit: surfels that look like the pictures, on the CPU or a GPU."""
