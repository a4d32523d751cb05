"""The commands of `python -m advcore`."""
