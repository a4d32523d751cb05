"""Every dataset that models are shipped for opens on a standard model beside a defended one of the same architecture."""

from __future__ import annotations

import pytest

from advcore.models import checkpoints
from tests.conftest import REAL_DATA
from tests.pages.conftest import open_page

SHIPPED_FOR = sorted({item.recipe.dataset for item in checkpoints.catalog().values() if not item.own})


@pytest.mark.parametrize("dataset", SHIPPED_FOR)
@pytest.mark.parametrize("name", ["attack", "accuracy"])
def test_a_dataset_opens_on_its_pair(name: str, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if dataset == "tiny-imagenet":  # the one without samples
        if REAL_DATA is None or not (REAL_DATA / dataset / "test.parquet").is_file():
            pytest.skip("needs the real tiny-imagenet: set ADVCORE_DATA to a folder with tiny-imagenet/test.parquet")
        monkeypatch.setenv("ADVCORE_DATA", str(REAL_DATA))
    page = open_page(name, dataset=dataset)
    assert not page.exception
    assert not page.error
    pair = [page.selectbox(key=f"{letter}:{dataset}").value for letter in "ab"] if name == "attack" else None
    chosen = pair or page.sidebar.multiselect[0].value
    standard, defended = (checkpoints.find(checkpoint_id) for checkpoint_id in chosen)
    assert standard.recipe.dataset == defended.recipe.dataset == dataset
    assert standard.recipe.architecture == defended.recipe.architecture
    assert (standard.defended, defended.defended) == (False, True)
