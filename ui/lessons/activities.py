"""The activities that lessons can name. A new one is a file with a subclass of `Activity`, and its entry here."""

from __future__ import annotations

from ui.lessons.compare import Compare
from ui.lessons.eyes import Eyes
from ui.lessons.lesson import Activity
from ui.lessons.saved import Saved
from ui.lessons.train import Train

ACTIVITIES: dict[str, Activity] = {"eyes": Eyes(), "compare": Compare(), "train": Train(), "save": Saved()}
