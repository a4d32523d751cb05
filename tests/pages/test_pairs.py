"""A dataset with shipped models opens on a standard model beside a defended one of its architecture that is not masked."""

from __future__ import annotations

import pytest

from advcore import data
from advcore.evaluation.figures import rows_in
from advcore.evaluation.masking import masking_of
from advcore.models import checkpoints
from tests.conftest import REAL_DATA
from tests.pages.conftest import open_page
from ui import load

SHIPPED_FOR = sorted({item.recipe.dataset for item in checkpoints.catalog().values() if not item.own})


@pytest.mark.parametrize("dataset", SHIPPED_FOR)
@pytest.mark.parametrize("name", ["attack", "accuracy"])
def test_a_dataset_opens_on_its_pair(name: str, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if dataset not in data.available():  # no samples of it are shipped
        if REAL_DATA is None or not (REAL_DATA / dataset / "test.parquet").is_file():
            pytest.skip(f"needs the real {dataset}: set ADVCORE_DATA to a folder with {dataset}/test.parquet")
        monkeypatch.setenv("ADVCORE_DATA", str(REAL_DATA))
        monkeypatch.setattr(load, "striking", lambda first, second, usual: (0, usual))  # with large networks it takes seconds
    page = open_page(name, dataset=dataset)
    assert not page.error
    pair = [page.selectbox(key=f"{letter}:{dataset}").value for letter in "ab"] if name == "attack" else None
    chosen = pair or page.sidebar.multiselect[0].value
    standard, defended = (checkpoints.find(checkpoint_id) for checkpoint_id in chosen)
    assert standard.recipe.dataset == defended.recipe.dataset == dataset
    assert standard.recipe.architecture == defended.recipe.architecture
    assert (standard.defended, defended.defended) == (False, True)
    assert masking_of(rows_in(defended.metrics), defended.recipe.epsilon) is None
    if name == "attack":
        opened = float(page.session_state["address"].now[-1]["epsilon"])
        assert opened >= defended.recipe.epsilon - 1e-6
