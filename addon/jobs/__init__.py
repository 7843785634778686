"""Generate and Import: what happens between the press of a button and its end, step by step on the main thread."""
