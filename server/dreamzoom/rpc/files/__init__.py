"""Jobs of a client whose folders this machine does not see: their folders here, what it sends, what it fetches."""
