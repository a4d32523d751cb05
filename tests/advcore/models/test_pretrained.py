"""ImageNet-size models without a network: weights of the right shape in a cache of the test's own."""

from __future__ import annotations

import hashlib
import io
import pickle
import urllib.error
from email.message import Message
from pathlib import Path

import pytest
import torch

from advcore.attacks import FGSM, probabilities
from advcore.cli.main import main
from advcore.errors import ModelError
from advcore.images.decode import Photo
from advcore.models import pretrained
from advcore.models.pretrained import SHAPE
from advcore.photos.framing import View, frame
from advcore.photos.fullsize import full_size, level_grid

torchvision = pytest.importorskip("torchvision")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, name: str, data: bytes) -> Path:
    """Write weights under the name that their fingerprint asks for."""
    file = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    file.write_bytes(data)
    return file


def saved(value: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def mobile() -> bytes:
    """A .pth file of random weights."""
    torch.manual_seed(3)
    return saved(torchvision.models.mobilenet_v3_large(weights=None).state_dict())


def test_an_empty_cache_says_why_each_is_missing(cache):
    assert pretrained.available() == {}
    reasons = pretrained.missing()
    assert {"imagenet/resnet18", "imagenet/resnet50", "imagenet/mobilenet_v3_large", "imagenet/convnext_tiny"} <= set(reasons)
    assert reasons["imagenet/resnet18"] == "ResNet-18: its weights are not on this machine; they are a download of 45 MB."
    with pytest.raises(ModelError, match="not on this machine"):
        pretrained.find("imagenet/resnet18")
    with pytest.raises(ModelError, match="no pretrained model"):
        pretrained.find("imagenet/../x")


def test_weights_in_the_cache_join_the_list(cache, mobile):
    put(cache, "mobilenet_v3_large", mobile)
    assert list(pretrained.available()) == ["imagenet/mobilenet_v3_large"]
    assert "imagenet/mobilenet_v3_large" not in pretrained.missing()
    item = pretrained.find("imagenet/mobilenet_v3_large")
    assert item.shape == (3, 224, 224)
    assert len(item.class_names) == 1000
    assert item.class_names[207] == "golden retriever"
    assert 0.7 < item.accuracy < 0.8


def test_the_model_is_torchvisions_with_normalization_inside(cache, mobile):
    put(cache, "mobilenet_v3_large", mobile)
    model = pretrained.find("imagenet/mobilenet_v3_large").model()
    theirs = torchvision.models.mobilenet_v3_large()
    theirs.load_state_dict(torch.load(io.BytesIO(mobile), weights_only=True))
    images = torch.rand(2, 3, 224, 224)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalized = (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    assert torch.allclose(model(images), theirs.eval()(normalized), atol=1e-4)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    attacked = FGSM().perturb(model, images, epsilon=2 / 255)
    assert (attacked - images).abs().max() <= 2 / 255


def test_files_in_torchs_form_before_2020_are_read_too(cache, mobile):
    weights = torch.load(io.BytesIO(mobile), weights_only=True)
    put(cache, "mobilenet_v3_large", saved(weights, _use_new_zipfile_serialization=False))
    model = pretrained.find("imagenet/mobilenet_v3_large").model()
    assert probabilities(model, torch.rand(1, 3, 224, 224)).shape == (1, 1000)


def test_a_photo_is_attacked_at_its_own_size(cache):
    torch.manual_seed(3)
    put(cache, "resnet18", saved(torchvision.models.resnet18(weights=None).state_dict()))
    model = pretrained.find("imagenet/resnet18").model()
    picture = Photo("p", "JPEG", torch.randint(0, 256, (3, 600, 800), dtype=torch.uint8))
    view = View(frame(picture, SHAPE), SHAPE)
    *_, (_, result) = full_size(model, picture, view, level_grid(0.125)[:3])
    assert result.shares.shape == (3, 1000)
    assert result.shares[2, result.label] < result.shares[0, result.label]


# --- files that are not what they say ------------------------------------------------------------------------------------


def test_a_file_that_does_not_fit_its_name_is_not_opened(cache, mobile, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the file was opened"))
    (cache / "resnet18-f37072fd.pth").write_bytes(mobile)
    reason = pretrained.missing()["imagenet/resnet18"]
    assert "SHA-256 of resnet18-f37072fd.pth is not the one in its name" in reason
    with pytest.raises(ModelError, match="SHA-256"):
        pretrained.zoo()["imagenet/resnet18"].model()


def test_an_intact_file_is_taken_beside_a_broken_one(cache, mobile):
    (cache / "mobilenet_v3_large-5c1a4163.pth").write_bytes(mobile[:1000])
    good = put(cache, "mobilenet_v3_large", mobile)
    assert pretrained.find("imagenet/mobilenet_v3_large").path() == good


def test_a_file_that_changes_is_looked_at_again(cache, mobile):
    file = put(cache, "mobilenet_v3_large", mobile)
    assert pretrained.available()
    file.write_bytes(mobile + b"\0")
    assert not pretrained.available()


class Exploit:
    """What a hostile pickle does when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def hostile_files() -> list[bytes]:
    files = [pickle.dumps(Exploit()), pickle.dumps({"weight": Exploit()})]
    for value in (Exploit(), {"conv1.weight": Exploit()}, {"conv1.weight": torch.zeros(1), "more": Exploit()}):
        files += [saved(value, _use_new_zipfile_serialization=new) for new in (True, False)]
    return files


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_hostile_pickles_run_nothing(cache):
    for data in hostile_files():
        file = put(cache, "resnet18", data)
        with pytest.raises(ModelError, match="more than weights"):
            pretrained.find("imagenet/resnet18").model()
        file.unlink()


@pytest.mark.parametrize("case", ["text", "empty", "half", "list", "numbers", "another network", "other classes", "not finite"])
def test_files_that_are_no_weights_of_this_network_are_refused(cache, mobile, case):
    weights = torch.load(io.BytesIO(mobile), weights_only=True)
    bias = "classifier.3.bias"
    data = {
        "text": lambda: b"<html>404</html>",
        "empty": lambda: b"",
        "half": lambda: mobile[: len(mobile) // 2],
        "list": lambda: saved([torch.zeros(1)]),
        "numbers": lambda: saved({bias: 3}),
        "another network": lambda: saved({bias: torch.zeros(1000)}),
        "other classes": lambda: saved(weights | {name: weights[name][:10] for name in (bias, "classifier.3.weight")}),
        "not finite": lambda: saved(weights | {bias: torch.full((1000,), torch.nan)}),
    }[case]()
    put(cache, "mobilenet_v3_large", data)
    with pytest.raises(ModelError, match=r"^MobileNetV3-Large: .*\.$"):
        pretrained.find("imagenet/mobilenet_v3_large").model()


def test_without_torchvision_the_list_says_so(monkeypatch):
    monkeypatch.setattr(pretrained, "zoo", dict)
    assert pretrained.missing()["imagenet/resnet18"] == "ResNet-18: needs the package torchvision."
    with pytest.raises(ModelError, match="not installed"):
        pretrained.find("imagenet/resnet18")


# --- download ------------------------------------------------------------------------------------------------------------


class Answer(io.BytesIO):
    """A web server's answer."""

    def info(self) -> Message:
        return Message()


def test_a_download_arrives_whole_or_not_at_all(cache, mobile, monkeypatch):
    asked = []
    item = pretrained.zoo()["imagenet/mobilenet_v3_large"]
    name = f"mobilenet_v3_large-{hashlib.sha256(mobile).hexdigest()[:8]}.pth"
    fitting = pretrained.TorchvisionNetwork(**{**vars(item), "url": f"https://download.pytorch.org/models/{name}"})
    monkeypatch.setattr(torch.hub, "urlopen", lambda request: asked.append(request.full_url) or Answer(mobile))
    with pytest.raises(ModelError, match="not the published file"):
        list(pretrained.download(item.id))
    assert asked == ["https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth"]
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(pretrained, "zoo", lambda: {item.id: fitting})
    steps = list(pretrained.download(item.id))
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert all(done <= expected for done, expected in steps)
    assert [file.name for file in cache.iterdir()] == [name]
    assert pretrained.available()


def test_a_download_without_a_network_is_one_sentence(cache, monkeypatch, capsys):
    def offline(request: object) -> None:
        raise urllib.error.URLError(OSError("Name or service not known"))

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(ModelError, match=r"could not be fetched \(this machine has no connection .*\); check the network"):
        list(pretrained.download("imagenet/resnet18"))
    assert list(cache.iterdir()) == []
    with pytest.raises(ModelError, match="no pretrained model"):
        list(pretrained.download("imagenet/other"))
    assert main(["pretrained", "--download", "imagenet/resnet18"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["pretrained"]) == 0
    assert "imagenet/resnet18" in capsys.readouterr().out
