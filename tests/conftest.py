"""What every test folder shares: sensible thread counts, the `browser` mark, and folders of the test's own."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from advcore import data

TESTS = Path(__file__).parent
# Resolved before any test changes the environment or the working directory.
REAL_DATA = Path(os.environ["ADVCORE_DATA"]).resolve() if os.environ.get("ADVCORE_DATA") else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=300, metavar="N", help="cases of the fuzzing corpus (tests/fuzzing.py)")
    parser.addoption("--kills", type=int, default=10, metavar="N", help="kills of a trainer and of the server")


def pytest_configure() -> None:
    # The tests' models are so small that threads wait for each other longer than they work; in servers and jobs too.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["STREAMLIT_LOGGER_LEVEL"] = "error"  # it warns of every cache that is made without a server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TESTS / "browser" in item.path.parents:
            item.add_marker(pytest.mark.browser)
    # The longest first: at the end the other process would wait for it. One process takes the first half, with one browser.
    items.sort(key=lambda item: (TESTS / "browser" not in item.path.parents, item.path.name != "test_retrain.py"))


def pytest_collection_finish() -> None:
    # Streamlit collects garbage after every run of a page; what is loaded by now is none.
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # else some of the libraries report leaks at the end


@pytest.fixture(autouse=True)
def _folders_of_its_own(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's tests see an empty data folder, no runs, the shipped checkpoints and the same random numbers."""
    if TESTS / "advcore" not in request.path.parents:
        return
    import torch  # not before the workers of a parallel run have been started

    torch.manual_seed(0)
    monkeypatch.setenv("ADVCORE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ADVCORE_RUNS", str(tmp_path / "runs"))
    for name in ("ADVCORE_CHECKPOINTS", "RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """The test's own data folder, still empty."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def own_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the shipped checkpoints."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setenv("ADVCORE_CHECKPOINTS", str(folder))
    return folder


@pytest.fixture(scope="session")
def digits() -> data.LabeledImages:
    """The 360 test images of `digits`."""
    return data.load("digits")


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> data.LabeledImages:
    """The first 200 real MNIST test images; skips where they are absent."""
    if REAL_DATA is None or not (REAL_DATA / "mnist" / "test.parquet").is_file():
        pytest.skip("needs the real MNIST: set ADVCORE_DATA to a folder with mnist/test.parquet")
    monkeypatch.setenv("ADVCORE_DATA", str(REAL_DATA))
    return data.load("mnist", limit=200)
