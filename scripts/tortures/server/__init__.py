"""What a server is told, and how its client ends."""
