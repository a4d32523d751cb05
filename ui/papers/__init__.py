"""Helpers of the page Papers."""
