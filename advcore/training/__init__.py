"""Training: the loop, its presets, estimates and final figures."""
