"""Accuracy under attack: curves over ε, one image over ε, and whether measured robustness can be believed."""
