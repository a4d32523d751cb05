"""The table of attacks: what one entry gives, and that one entry is enough."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from advcore import attacks
from advcore.attacks import ATTACKS, FGSM, PGD, AttackSpec, UniformNoise
from advcore.attacks.base import Attack, Batch
from advcore.errors import AttackError
from tests.makers import linear


@dataclass(frozen=True, kw_only=True)
class Brighten(Attack):
    """Every value ε brighter."""

    strength: float = attacks.option(1.0, "share of ε used", low=0, high=1)

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        return attacks.Budget(batch.images, batch.epsilon).project(batch.images + self.strength * batch.epsilon)


def test_one_entry_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert attacks.title(Brighten()) == "Brighten"  # without an entry, the class's name
    monkeypatch.setitem(ATTACKS, "brighten", AttackSpec("brighten", Brighten, "brightening", "Every value ε brighter."))
    assert "brighten" in attacks.offered()
    attack = attacks.attack_named("brighten", strength=0.5, steps=7)
    assert attack == Brighten(strength=0.5)
    assert attacks.title(attack) == "brightening"
    assert eval(attacks.python_call(attack), vars(attacks)) == attack
    spec = attacks.spec_of(attack)
    assert spec is not None
    assert (spec.targetable, spec.norms, [option.name for option in spec.options]) == (False, ("linf",), ["strength"])
    images = torch.full((2, 1, 2, 2), 0.5)
    small, large = attack.sweep(linear(torch.ones(2, 4)), images, None, [0.1, 0.2])
    assert torch.allclose(small, images + 0.05)
    assert torch.allclose(large, images + 0.1)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_entry_is_whole(name: str) -> None:
    spec = ATTACKS[name]
    attack = spec.kind()
    assert attacks.attack_named(name) == attack
    assert attacks.spec_of(attack) is spec
    assert spec.title
    assert spec.about.endswith(".")
    assert spec.role in {"control", "study fault"} or (spec.paper and spec.arxiv)
    assert spec.norms
    assert attack.norm in spec.norms
    assert spec.passes >= 0
    for option in spec.options:
        assert option.about
        assert isinstance(option.default, option.type) or option.default is None
        if option.choices:
            assert option.default in option.choices


def test_titles_and_dashes_are_distinct() -> None:
    titles = [attacks.title(spec.kind()) for spec in ATTACKS.values()]
    assert len(set(titles)) == len(titles)


def test_options_carry_their_ranges() -> None:
    options = {option.name: option for option in ATTACKS["pgd"].options}
    assert (options["steps"].type, options["steps"].default, options["steps"].low) == (int, 20, 1)
    assert (options["step_size"].type, options["step_size"].default) == (float, None)
    assert options["norm"].choices == ("linf", "l2")
    assert "ce" in options["loss"].choices


def test_cost_counts_steps_and_restarts() -> None:
    assert PGD(steps=50, restarts=10).passes == 10 * PGD(steps=50).passes == 50 * 10 * FGSM().passes
    assert UniformNoise().passes == 0


def test_python_call_makes_the_same_attack() -> None:
    configured = (PGD(steps=50, restarts=10, norm="l2", targeted=True), UniformNoise(seed=3))
    for attack in (*(spec.kind() for spec in ATTACKS.values()), *configured):
        assert eval(attacks.python_call(attack), vars(attacks)) == attack


@pytest.mark.parametrize("options", [{"norm": "l1"}, {"loss": "hinge"}, {"steps": 10_000}, {"restarts": 0}])
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(AttackError, match=next(iter(options))):
        attacks.attack_named("pgd", **options)


def test_a_norm_that_an_attack_lacks_is_refused() -> None:
    with pytest.raises(AttackError, match="norm"):
        Brighten(norm="l2")


def test_titles_name_a_norm_other_than_the_usual() -> None:
    assert attacks.title(PGD(norm="l2")) == "PGD-20 L2"
    assert attacks.title(FGSM(norm="l2")) == "FGSM L2"


def test_an_attack_without_warm_start_says_so() -> None:
    images = torch.zeros(1, 1, 2, 2)
    with pytest.raises(AttackError, match="cannot begin"):
        FGSM().perturb(linear(torch.ones(2, 4)), images, None, 0.1, start=images)
