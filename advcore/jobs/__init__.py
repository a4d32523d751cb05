"""Trainings in separate processes, which survive the page, the session and the server. Needs psutil and filelock."""
