"""What several tortures use, or what would make one too long."""
