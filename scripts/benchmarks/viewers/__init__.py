"""The section `viewers`: what other viewers show of an exported flight."""
