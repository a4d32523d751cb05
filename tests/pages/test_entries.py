"""One entry added to a table appears wherever people choose."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from torch import Tensor, nn

from advcore import attacks
from advcore.attacks import ATTACKS, AttackSpec, Budget
from advcore.attacks.base import Attack, Batch
from advcore.cli.main import main
from tests.pages.conftest import open_page, opened


@dataclass(frozen=True, kw_only=True)
class Brighten(Attack):
    """Every value ε brighter."""

    def _attack(self, model: nn.Module, batch: Batch) -> Tensor:
        return Budget(batch.images, batch.epsilon).project(batch.images + batch.epsilon)


@pytest.fixture(autouse=True)
def _brighten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTACKS, "brighten", AttackSpec("brighten", Brighten, "brightening", "Every value ε brighter."))


@pytest.mark.parametrize("name", ["attack", "your_image"])
def test_an_attack_can_be_chosen_for_an_image(name: str) -> None:
    page = open_page(name, dataset="digits", attack="brighten")
    assert not page.warning
    picker = next(box for box in page.selectbox if box.label == "Attack")
    assert (picker.value, "brightening" in picker.options) == ("brighten", True)
    assert any(
        caption.value.startswith(("Test image", "Brightening")) and "rightening" in caption.value for caption in page.caption
    )
    code = opened(page, "take away")
    assert "attack_named('brighten')" in code or "--attack brighten" in code


def test_an_attack_can_be_drawn_as_a_curve() -> None:
    page = open_page("accuracy", dataset="digits", attacks="brighten")
    assert page.session_state["attacks:linf"] == ["brighten"]


def test_an_attack_is_a_choice_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["curve", "--help"])
    assert "brighten" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name, spec in attacks.offered().items() if "l2" in spec.norms])
def test_an_attack_with_an_l2_budget_is_offered_there(name: str) -> None:
    page = open_page("accuracy", dataset="digits", norm="l2", attacks=name, images="100", reading="worst")
    assert not page.warning
    assert page.session_state["attacks:l2"] == [name]
