"""`data`: what is here, and downloads."""

from __future__ import annotations

from pathlib import Path

import pytest

from advcore import data
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
    for name, split, size in (
        ("mnist", "train", "60000 "),
        ("mnist", "test", "20 "),
        ("digits", "test", "360 "),
        ("shapes", "test", ""),
    ):
        found = data.find(name, split)
        assert rows[name, split] == f"{size}{found.words}, {found.path}"
    assert rows["cifar10", "train"] == "50000 not here"
    assert rows["shapes", "train"] == "not here"


def test_data_fetches(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(form: str, root: Path) -> None:
        write_parquet(root / "mnist" / "test.parquet", list(pictures(1, 28)), [0])

    monkeypatch.setattr(readers, "_fetch", fetch)
    run("data", "--download", "mnist")
    assert str(data.find("mnist", "test").path) in capsys.readouterr().out
