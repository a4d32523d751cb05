"""Accuracy under attack: curves over ε, one image over ε, and whether a robustness can be believed."""
