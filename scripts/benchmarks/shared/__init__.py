"""What several sections use."""
