"""Generate and Import, from the press of the button to the end, in small steps on the main thread."""
