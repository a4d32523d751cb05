"""A person's own picture: what a model sees of it, and attacks on it at full size."""
