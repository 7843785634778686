"""Engines: what imagines. One interface (`base`), one folder or module an engine."""
