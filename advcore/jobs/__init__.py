"""Trainings in processes of their own, which survive the page, the session and the server. Needs psutil and filelock."""
