"""Helpers of the page Your image."""
