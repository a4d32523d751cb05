"""A user's own checkpoints: renamed and deleted; nothing that a user types becomes a path."""

from __future__ import annotations

import pytest

from advcore.errors import CheckpointError
from advcore.models import architectures, checkpoints
from tests.own_models import files, own

SHIPPED = "digits/digits_cnn-standard"


def test_rename() -> None:
    before = own()
    after = checkpoints.rename("digits/mine", " best.so-far_2 ")
    assert after.id == "digits/best.so-far_2"
    assert after.own
    assert list(checkpoints.catalog())[-1] == after.id
    assert not before.path.exists()


def test_a_name_that_is_no_name_is_refused() -> None:
    own()
    for name in ("", " ", ".", "..", "../up", "a/b", "a\\b", "/etc/passwd", ".hidden", "x" * 200, "a\nb", "a\x00b", "-x"):
        with pytest.raises(CheckpointError):
            checkpoints.rename("digits/mine", name)
    assert files() == ["models/digits/mine.safetensors"]


def test_a_name_that_is_taken_is_refused() -> None:
    own("one"), own("two")
    for taken in ("two", SHIPPED.split("/")[1]):
        with pytest.raises(CheckpointError, match="already"):
            checkpoints.rename("digits/one", taken)
    assert files() == ["models/digits/one.safetensors", "models/digits/two.safetensors"]


def test_delete() -> None:
    own()
    checkpoints.delete("digits/mine")
    assert files() == []
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        checkpoints.delete("digits/mine")


def test_shipped_ones_stay_as_they_are() -> None:
    path = checkpoints.find(SHIPPED).path
    before = path.read_bytes()
    for change in (lambda: checkpoints.delete(SHIPPED), lambda: checkpoints.rename(SHIPPED, "mine")):
        with pytest.raises(CheckpointError, match="came with the app"):
            change()
    assert path.read_bytes() == before


def test_an_id_is_looked_up_and_never_a_path() -> None:
    own()
    for checkpoint_id in ("../models/digits/mine", "digits/../digits/mine", "", "/", "digits/mine.safetensors"):
        for change in (checkpoints.delete, lambda item: checkpoints.rename(item, "x")):
            with pytest.raises(CheckpointError, match="There is no checkpoint"):
                change(checkpoint_id)
    assert len(files()) == 1


def test_a_network_is_counted_without_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = own()
    wanted = architectures.parameter_count(architectures.build("digits_cnn", (1, 8, 8), 10))
    checkpoint.path.unlink()
    assert checkpoint.parameters == wanted


def test_a_name_of_too_many_bytes_is_refused() -> None:
    own()
    with pytest.raises(CheckpointError, match="cannot name a checkpoint"):
        checkpoints.rename("digits/mine", "漢" * 95)
    assert checkpoints.rename("digits/mine", "漢" * 70).path.exists()
