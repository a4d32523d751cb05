"""Example photos: there are some for every dataset, they open offline, and the models read the digits among them."""

from __future__ import annotations

import pytest

from advcore.data import BUILT_IN
from advcore.errors import CheckpointError, DataError
from advcore.models import checkpoints
from advcore.photos import examples
from advcore.photos.drawn import Hand, picture_of
from advcore.photos.framing import frame, view_of
from tests.makers import pictures, write_parquet


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist", "cifar10", "tiny-imagenet", "imagenet", "digits", "my own"])
def test_every_dataset_has_some(dataset):
    found = examples.examples(dataset)
    assert len(found) >= 2
    assert len({item.id for item in found}) == len(found)
    photo = examples.example(dataset, found[0].id)
    assert min(photo.size) >= 8
    with pytest.raises(DataError, match="no example"):
        examples.example(dataset, "../../etc/passwd")


def test_traffic_signs_that_are_here_are_examples_a_stop_sign_first(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVCORE_DATA", str(tmp_path))
    names = BUILT_IN["gtsrb"].class_names
    labels = [names.index(name) for name in ("Yield", "Stop", "Yield", "Stop")]
    arrays = pictures(4, 32, colour=True)
    arrays[1] //= 2  # the second stop sign is the clearer one
    write_parquet(tmp_path / "gtsrb" / "test.parquet", list(arrays), labels, names)
    drawn, first, second, *_ = examples.examples("gtsrb")
    assert (drawn.id, drawn.label) == ("drawn-stop", "Stop")
    assert (first.label, second.label) == ("Stop", "Yield")
    assert first.open().pixels.tolist() == arrays[3].transpose(2, 0, 1).tolist()


@pytest.mark.parametrize("dataset", ["fashion-mnist", "cifar10", "imagenet"])
def test_without_the_packages_there_are_still_some(dataset, monkeypatch):
    monkeypatch.setattr(examples, "foolbox_folder", lambda: None)
    monkeypatch.setattr(examples.importlib.util, "find_spec", lambda name: None)
    assert len(examples.examples(dataset)) >= 2
    assert examples.examples(dataset)[0].open().size[0] > 100


def test_drawings_are_the_same_every_time():
    assert (examples.example("mnist", "drawn-3").pixels == examples.example("mnist", "drawn-3").pixels).all()
    assert picture_of(3, Hand(), 0).mode == "L"
    assert picture_of(3, Hand(photo=0.5), 0).mode == "RGB"


@pytest.mark.parametrize("checkpoint_id", ["mnist/lee_cnn-standard"])
def test_the_model_reads_the_drawn_examples(checkpoint_id):
    try:
        checkpoint = checkpoints.find(checkpoint_id)
    except CheckpointError:
        pytest.skip(f"needs {checkpoint_id}: `python -m advcore checkpoints --rebuild {checkpoint_id}` trains it")
    model = checkpoint.model()
    for item in examples.examples("mnist"):
        photo = item.open()
        seen = view_of(photo, frame(photo, checkpoint.shape, "mnist"), checkpoint.shape)
        assert str(int(model(seen).argmax())) == item.title[0], item.title


@pytest.mark.parametrize("checkpoint_id", ["gtsrb/airbench-standard", "gtsrb/airbench-n_fgsm-0.03137"])
def test_the_drawn_stop_sign_is_one_to_the_models_of_signs(checkpoint_id):
    checkpoint, photo = checkpoints.find(checkpoint_id), examples.example("gtsrb", "drawn-stop")
    seen = view_of(photo, frame(photo, checkpoint.shape, "gtsrb"), checkpoint.shape)
    confidence, answer = checkpoint.model()(seen).softmax(1).max(1)
    assert checkpoint.class_names[answer] == "Stop"
    assert confidence > 0.6
