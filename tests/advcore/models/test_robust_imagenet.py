"""Robust ImageNet networks without a network: files of the Hub's layout, made here."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from advcore.errors import ModelError
from advcore.models import pickles, pretrained
from tests.advcore.models.test_pretrained import Exploit, cache

torchvision = pytest.importorskip("torchvision")
huggingface_hub = pytest.importorskip("huggingface_hub")
__all__ = ["cache"]
ID = "imagenet/resnet18_linf_eps4.0"
MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(5)
    return torchvision.models.resnet18(weights=None)


def published(network: torch.nn.Module) -> dict[str, object]:
    """What a file of the repository holds: the network, a copy in its attacker, the normalization twice, and the epoch."""
    held: OrderedDict[str, torch.Tensor] = OrderedDict()
    for prefix in ("module.model.", "module.attacker.model."):
        held |= {prefix + name: value for name, value in network.state_dict().items()}
    for prefix in ("module.normalizer.", "module.attacker.normalize."):
        held |= {prefix + "new_mean": MEAN.view(3, 1, 1), prefix + "new_std": STD.view(3, 1, 1)}
    return {"model": held, "epoch": 90}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the Hub gives; what it lists as its SHA-256 is in `hub.sha256` beside it."""
    file = tmp_path / "hub.ckpt"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    listed = file.with_suffix(".sha256")
    monkeypatch.setattr(
        huggingface_hub, "get_hf_file_metadata", lambda url: SimpleNamespace(etag=listed.read_text(), asked=url)
    )
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repository, name: str(file))
    return file


def put(file: Path, held: object) -> None:
    torch.save(held, file)
    file.with_suffix(".sha256").write_text(hashlib.sha256(file.read_bytes()).hexdigest())


def test_a_robust_network_arrives_and_is_kept_as_safetensors(cache: Path, hub: Path, network: torch.nn.Module) -> None:
    put(hub, published(network))
    assert ID in pretrained.missing()
    list(pretrained.download(ID))
    (kept,) = cache.iterdir()
    assert kept.name == f"resnet18_linf_eps4.0-{hashlib.sha256(kept.read_bytes()).hexdigest()[:8]}.safetensors"
    item = pretrained.find(ID)
    assert (item.architecture, item.defended, item.shape) == ("resnet18", True, (3, 224, 224))
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        wanted = network.eval()((images - MEAN.view(1, 3, 1, 1)) / STD.view(1, 3, 1, 1))
        assert torch.allclose(item.model()(images), wanted, atol=1e-4)


def test_a_file_that_the_hub_does_not_list_is_refused(cache: Path, hub: Path) -> None:
    hub.write_bytes(b"something else")
    hub.with_suffix(".sha256").write_text("0" * 64)
    with pytest.raises(ModelError, match="not the published file"):
        list(pretrained.download(ID))
    assert not any(cache.iterdir())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("case", ["code", "another network", "not finite", "text"])
def test_other_files_are_refused_and_run_nothing(cache: Path, network: torch.nn.Module, tmp_path: Path, case: str) -> None:
    file, held = tmp_path / "copied.ckpt", published(network)
    weights = held["model"]
    assert isinstance(weights, dict)
    if case == "another network":
        del weights["module.model.fc.bias"]
    elif case == "not finite":
        weights["module.model.fc.bias"] = torch.full((1000,), torch.nan)
    torch.save(held, file)
    if case == "code":
        file.write_bytes(pickle.dumps({"model": Exploit()}))
    elif case == "text":
        file.write_bytes(b"<html>404</html>")
    assert pickles.convert(str(file), str(tmp_path / "x"), "resnet18") in {
        "the file cannot be read, or holds more than weights",
        "the file does not hold the weights of resnet18",
        "the weights are not finite numbers",
    }
    assert not (tmp_path / "x").exists()


def test_what_takes_too_much_memory_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MEMORY_BYTES", 1 << 20)
    torch.save({"weight": torch.zeros(8 << 20)}, tmp_path / "large.ckpt")
    with pytest.raises(RuntimeError):
        pickles.as_safetensors(tmp_path / "large.ckpt", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_copied_file_needs_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied, opened = cache / "resnet18_linf_eps4.0.ckpt", []
    copied.write_bytes(b"")
    monkeypatch.setattr(pretrained.HubNetwork, "keep", lambda self, pickle: opened.append(pickle))
    list(pretrained.download(ID))
    assert opened == [copied]


def test_without_a_network_it_is_one_sentence(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    offline = OSError("[Errno -2] Name or service not known")

    def fails(*_: object) -> None:
        raise RuntimeError("the HTTP library's own") from offline

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fails)
    with pytest.raises(ModelError, match=r"\(this machine has no connection .*resnet18_linf_eps4.0.ckpt into"):
        list(pretrained.download(ID))
