"""The Models page without a browser: the list, one's own models, imports."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advcore.models import checkpoints
from tests.pages.conftest import open_page


@pytest.fixture
def own() -> str:
    """A model of the user's own, a copy of a shipped one."""
    shipped = checkpoints.find("digits/digits_cnn-standard")
    path = checkpoints.free_path("digits/mine")
    path.parent.mkdir(parents=True)
    path.write_bytes(shipped.path.read_bytes())
    return "digits/mine"


def labels(page) -> list[str]:
    return [button.label for button in page.button]


def test_it_lists_every_checkpoint_and_its_figures() -> None:
    page = open_page("models")
    assert not page.exception
    listed = set(page.dataframe[0].value["model"])
    assert listed == set(checkpoints.catalog())


def test_shipped_models_offer_no_delete() -> None:
    assert "Delete it" not in labels(open_page("models", model="digits/digits_cnn-standard"))


def test_one_s_own_model_is_renamed_and_deleted(own: str) -> None:
    page = open_page("models", model=own)
    page.text_input[0].set_value("better")
    next(button for button in page.button if button.label == "Rename it").click().run()
    assert "digits/better" in checkpoints.catalog()
    assert page.success
    page = open_page("models", model="digits/better")
    next(button for button in page.button if button.label == "Delete it").click().run()
    assert "digits/better" not in checkpoints.catalog()
    assert not page.exception


def test_a_name_that_is_a_path_is_refused_and_nothing_is_lost(own: str) -> None:
    page = open_page("models", model=own)
    page.text_input[0].set_value("../../escape")
    next(button for button in page.button if button.label == "Rename it").click().run()
    assert page.error
    assert own in checkpoints.catalog()


def test_a_broken_file_among_them_is_named_and_left_out(own: str) -> None:
    (checkpoints.own_root() / "digits" / "broken.safetensors").write_bytes(b"nothing")
    page = open_page("models")
    assert not page.exception
    assert any("broken" in warning.value for warning in page.warning)


def test_a_dataset_is_picked_out() -> None:
    page = open_page("models", of="digits", model="digits/digits_cnn-standard")
    assert not page.exception
    listed = set(page.dataframe[0].value["model"])
    assert listed == set(checkpoints.catalog("digits"))
    assert not open_page("models", of="../..", model="/etc/passwd").exception


def test_a_model_shows_its_figures_its_recipe_and_its_origin() -> None:
    one_of_each = {item.recipe.dataset: checkpoint_id for checkpoint_id, item in checkpoints.catalog().items()}
    for checkpoint_id in one_of_each.values():
        item, page = checkpoints.find(checkpoint_id), open_page("models", model=checkpoint_id)
        assert not page.exception
        assert page.selectbox(key="model").value == checkpoint_id
        tables = [table.value for table in page.dataframe]
        strongest = ["AutoAttack"] if "autoattack" in item.metrics else []
        assert list(tables[1]["attack"]) == ["none", *(row["attack"] for row in item.metrics["attacks"]), *strongest]
        assert item.recipe.architecture in list(tables[2]["value"])
        assert item.provenance["command"] == page.code[0].value


def test_masked_robustness_is_said(own: str) -> None:
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
    assert not page.exception
    assert any("masked" in warning.value for warning in page.warning)
    shown = page.dataframe[0].value
    row = shown[shown["model"] == own].iloc[0]
    assert row["AutoAttack"] == 0.05
    assert "⚠ masked" in list(page.dataframe[0].value["masked"])


def test_a_model_links_to_where_it_can_be_used(own: str) -> None:
    links = [link.proto.url for link in open_page("models", model=own).get("link_button")]
    assert "/?dataset=digits&b=digits%2Fmine" in links
    assert "/retrain?dataset=digits&architecture=digits_cnn&start=digits%2Fmine&job=new" in links


def test_a_renamed_model_stays_in_view(own: str) -> None:
    page = open_page("models", model=own)
    page.text_input[0].set_value("better")
    next(button for button in page.button if button.label == "Rename it").click().run()
    assert page.selectbox(key="model").value == "digits/better"


def test_plain_weights_are_named(own: str) -> None:
    page = open_page("models")
    page.radio(key="import kind").set_value("weights").run()
    assert not page.exception
    page.selectbox(key="import defense").set_value("fgsm").run()
    assert page.number_input(key="import epsilon").value == 0.1
