"""The Models page without a browser: the list, one's own models, imports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from advcore.evaluation import figures
from advcore.models import checkpoints
from pages import models
from tests.pages.conftest import labels, open_page, press
from ui.components.model_list import Line


@pytest.fixture
def own() -> str:
    """A model of the user's own, a copy of a shipped one."""
    shipped = checkpoints.find("digits/digits_cnn-standard")
    path = checkpoints.free_path("digits/mine")
    path.parent.mkdir(parents=True)
    path.write_bytes(shipped.path.read_bytes())
    return "digits/mine"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the list of models shows after each run: `groups` of lines and the `selected` id; `on_pick` is a click."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        models, "model_list", lambda groups, selected, **rest: seen.update(groups=groups, selected=selected, **rest)
    )
    return seen


def lines(listed: dict[str, Any]) -> dict[str, Line]:
    return {line.id: line for of in listed["groups"].values() for line in of}


def test_it_lists_every_checkpoint_by_dataset_and_opens_the_one_asked_for(listed: dict[str, Any]) -> None:
    open_page("models", model="digits/digits_cnn-standard")
    assert set(lines(listed)) == set(checkpoints.catalog())
    assert len(listed["groups"]) == len({item.dataset for item in checkpoints.catalog().values()})
    assert listed["selected"] == "digits/digits_cnn-standard"


def test_shipped_models_offer_no_delete() -> None:
    assert "Delete it" not in labels(open_page("models", model="digits/digits_cnn-standard"))


def test_one_s_own_model_is_renamed_and_stays_in_view_and_is_deleted(own: str, listed: dict[str, Any]) -> None:
    page = open_page("models", model=own)
    page.text_input[0].set_value("better")
    press(page, "Rename it")
    assert "digits/better" in checkpoints.catalog()
    assert page.success
    assert listed["selected"] == "digits/better"
    assert lines(listed)["digits/better"].title.startswith("better")
    page = open_page("models", model="digits/better")
    press(page, "Delete it")
    assert "digits/better" not in checkpoints.catalog()


def test_a_name_that_is_a_path_is_refused_and_nothing_is_lost(own: str) -> None:
    page = open_page("models", model=own)
    page.text_input[0].set_value("../../escape")
    press(page, "Rename it")
    assert page.error
    assert own in checkpoints.catalog()


def test_a_broken_file_among_them_is_named_and_left_out(own: str) -> None:
    (checkpoints.own_root() / "digits" / "broken.safetensors").write_bytes(b"nothing")
    page = open_page("models")
    assert any("broken" in warning.value for warning in page.warning)


def test_a_filter_leaves_no_model_of_another_dataset_open(listed: dict[str, Any]) -> None:
    page = open_page("models", model="digits/digits_cnn-standard")
    page.button_group(key="of").set_value("mnist").run()
    assert not page.exception
    assert set(lines(listed)) == set(checkpoints.catalog("mnist"))
    assert listed["selected"] in lines(listed)
    open_page("models", of="../..", model="/etc/passwd")
    open_page("models", dataset="mnist")
    assert set(lines(listed)) == set(checkpoints.catalog("mnist"))


def test_a_model_shows_its_figures_its_recipe_and_its_origin() -> None:
    one_of_each = {item.recipe.dataset: checkpoint_id for checkpoint_id, item in checkpoints.catalog().items()}
    for checkpoint_id in one_of_each.values():
        item, page = checkpoints.find(checkpoint_id), open_page("models", model=checkpoint_id)
        tables = [table.value for table in page.dataframe]
        assert list(tables[0]["attack"]) == ["none", *(row["attack"] for row in figures.rows_in(item.metrics))]
        assert item.recipe.architecture in list(tables[1]["value"])
        assert item.provenance["command"] == page.code[0].value


def test_masked_robustness_is_said_and_the_strongest_attack_counts(own: str, listed: dict[str, Any]) -> None:
    item = checkpoints.find(own)
    metrics = {
        "clean": 0.9,
        "attacks": [
            {"attack": "FGSM", "epsilon": 0.2, "images": 360, "accuracy": 0.9},
            {"attack": "PGD-20", "epsilon": 0.2, "images": 360, "accuracy": 0.1, "steps": 20, "restarts": 1},
        ],
        "autoattack": {
            "epsilon": 0.2,
            "norm": "linf",
            "images": 100,
            "accuracy": 0.05,
            "survivors": {"clean": 90, "AutoAttack": 5},
        },
    }
    names, hostile = item.class_names, {"<b>who</b>": "[x](javascript:alert(1)) $a$", "command": "rm -rf `x`"}
    recipe = replace(item.recipe, defense="fgsm", epsilon=0.2)
    checkpoints.save(item.path, item.model(), recipe, shape=item.shape, class_names=names, metrics=metrics, provenance=hostile)
    page = open_page("models", model=own)
    assert any("masked" in warning.value for warning in page.warning)
    line = lines(listed)[own]
    assert (line.clean, line.fgsm, line.strongest, line.epsilon, line.masked) == (0.9, 0.9, 0.05, 0.2, True)


def test_a_model_links_to_where_it_can_be_used(own: str) -> None:
    links = {link.proto.page: link.proto.query_string for link in open_page("models", model=own).get("page_link")}
    assert dict(parse_qsl(links[""])) == {"dataset": "digits", "b": own}
    assert dict(parse_qsl(links["believe"])) == {"dataset": "digits", "model": own}
    assert dict(parse_qsl(links["retrain"]))["start"] == own


@pytest.mark.parametrize(("count", "text"), [(950, "950"), (84_600, "85 K"), (999_600, "1.0 M"), (4_700_000, "4.7 M")])
def test_a_count_of_weights_is_short(count: int, text: str) -> None:
    assert models.compact(count) == text


def test_plain_weights_are_named(own: str) -> None:
    page = open_page("models")
    page.radio(key="import kind").set_value("weights").run()
    assert not page.exception
    page.selectbox(key="import defense").set_value("fgsm").run()
    assert page.text_input(key="import epsilon as text").value == "0.1"
