"""A person's own photo: what a model sees of it, and attacks on it at full size."""
