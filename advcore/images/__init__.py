"""Decoding (bytes to pixels) and encoding (pixels to bytes) of images."""
