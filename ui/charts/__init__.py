"""Plotly charts: the one package that imports plotly."""

from __future__ import annotations

from ui.charts.base import HEIGHT, show
from ui.charts.curves import Points, Trace, accuracy_chart, confusion_chart, fooled_chart, per_class_chart
from ui.charts.models import Model, inside_chart, models_chart, transfer_chart
from ui.charts.studies import Bars, Compared, bars_chart, dumbbell_chart, map_chart, reading_chart
from ui.charts.training import loss_chart, watched_chart

__all__ = [
    "HEIGHT",
    "Bars",
    "Compared",
    "Model",
    "Points",
    "Trace",
    "accuracy_chart",
    "bars_chart",
    "confusion_chart",
    "dumbbell_chart",
    "fooled_chart",
    "inside_chart",
    "loss_chart",
    "map_chart",
    "models_chart",
    "per_class_chart",
    "reading_chart",
    "show",
    "transfer_chart",
    "watched_chart",
]
