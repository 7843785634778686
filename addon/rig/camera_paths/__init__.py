"""Cameras beyond one keyed object: those that markers bind, that parents shear, and that files hold."""
