"""What a finished training leaves: its command and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from advcore.cli import main, train
from advcore.evaluation import figures
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import measure
from advcore.training.loop import Evaluation


def test_the_command_of_a_recipe_carries_it_out() -> None:
    recipe = Recipe(
        dataset="mnist", architecture="lee_cnn", defense="fgsm", epsilon=0.3, augment=("rotate", "crop"), keep_best=True
    )
    words = recipe.command.split()
    assert words[:4] == ["python", "-m", "advcore", "train"]
    assert train.recipe_from(vars(main.parser().parse_args(words[3:]))) == recipe


def test_a_run_that_was_watched_keeps_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "PGD_IMAGES", 10)
    watched = checkpoints.find("digits/digits_cnn-standard")
    history = [Evaluation(step, 0.9, 0.5, 0.4, 0.1, 32) for step in (10, 20)]
    made = measure.finish(watched.recipe, watched.model(), tmp_path / "own.safetensors", seconds=1, history=history)
    assert [Evaluation(**row) for row in made.metrics["history"]] == history
    assert "history" not in measure.finish(watched.recipe, watched.model(), made.path, seconds=1).metrics
