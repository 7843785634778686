"""What several tortures share, or what would make one too long."""
