"""What several tortures use; no torture itself."""
