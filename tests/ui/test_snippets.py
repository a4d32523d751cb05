"""The commands that the app shows measure what it shows."""

from __future__ import annotations

import argparse
import shlex

import pytest

from advcore import attacks
from advcore.attacks import Norm
from advcore.cli import curve
from advcore.cli.options import chosen_attack
from advcore.data import even_epsilons
from advcore.evaluation.curves import Reading
from ui.snippets import curve_command


@pytest.mark.parametrize(("end", "steps"), [(0.3, 6), (0.5, 20), (0.3, 7), (8 / 255, 16)])
@pytest.mark.parametrize(
    ("attack", "norm", "reading"), [("fgsm", "linf", "exact"), ("pgd", "l2", "worst"), ("deepfool", "linf", "exact")]
)
def test_the_command_of_a_curve_means_the_same(attack: str, norm: Norm, reading: Reading, end: float, steps: int) -> None:
    grid = even_epsilons(end, steps)
    command = curve_command(["mnist/a", "mnist/b"], attack, grid, norm=norm, reading=reading, images=500)
    parser = argparse.ArgumentParser()
    curve.add(parser)
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "advcore", "curve"]
    options = parser.parse_args(words[4:])
    assert options.checkpoint == ["mnist/a", "mnist/b"]
    assert options.epsilons == pytest.approx(grid, abs=1e-9)
    assert (options.limit, options.worst_case) == (500, reading == "worst")
    assert chosen_attack(options, options.epsilons) == attacks.offered()[attack].kind(norm=norm)
