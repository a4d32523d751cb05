"""`data`: what is here, and downloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from advcore.data import readers
from tests.advcore.cli.commands import run
from tests.makers import pictures, write_folder, write_parquet


def test_data_says_what_is_here_and_from_where(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_parquet(data_folder / "mnist" / "train.parquet", list(pictures(2, 28)), [0, 1])
    write_folder(data_folder / "shapes" / "test", {"a": pictures(1, 8)})
    run("data")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"Data folder: {data_folder}"
    rows = {tuple(row.split()[:2]): " ".join(row.split()[2:]) for row in printed[1:]}
    assert rows["mnist", "train"] == f"60000 Parquet in {data_folder / 'mnist'}"
    assert rows["mnist", "test"].startswith("20 the 20 sample images")
    assert rows["cifar10", "train"] == "50000 not here"
    assert rows["digits", "test"] == "360 scikit-learn's own copy"
    assert rows["shapes", "test"] == f"image folder {data_folder / 'shapes' / 'test'}"
    assert rows["shapes", "train"] == "not here"


def test_data_fetches(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(form: str, root: Path) -> None:
        write_parquet(root / "mnist" / "test.parquet", list(pictures(1, 28)), [0])

    monkeypatch.setattr(readers, "_fetch", fetch)
    run("data", "--download", "mnist")
    assert "Parquet in" in capsys.readouterr().out
