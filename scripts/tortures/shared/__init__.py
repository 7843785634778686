"""What several tortures share."""
