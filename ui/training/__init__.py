"""Helpers of the page Retrain."""
