"""Photos: what a model sees of one, and attacks on it at its own size."""
