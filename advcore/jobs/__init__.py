"""Retrainings in processes of their own."""
