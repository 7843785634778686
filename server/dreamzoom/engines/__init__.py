"""Engines generate pictures and depth. `base` defines their interface, `registry` lists them."""
