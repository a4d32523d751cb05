"""Cached loaders. What they return is shared by all sessions and must not be changed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import streamlit as st
import torch
from torch import nn

from advcore import attacks, data
from advcore.device import Precision, describe, fastest_precision, pick_device
from advcore.errors import CheckpointError
from advcore.evaluation import scrub, single
from advcore.evaluation.curves import prepared
from advcore.models import checkpoints
from ui import visitor
from ui.worker import worker

SERVER = "this server"
"""What a visitor of a public server is told of its device."""


@st.cache_resource(show_spinner="Loading the images …", max_entries=8, hash_funcs={data.Source: repr})
def _dataset(name: str, source: data.Source) -> data.LabeledImages:
    return data.test_split(name)


def dataset(name: str) -> data.LabeledImages:
    """The test split, decoded once per server and place, for one session at a time; raises DataError as `data.load` does."""
    return _dataset(name, data.find(name))


@st.cache_data(ttl=5, show_spinner=False)
def available() -> dict[str, data.Source]:
    """The datasets whose test split is on this machine."""
    return data.available()


@st.cache_resource(ttl=2, show_spinner=False)
def _catalog(dataset_name: str | None) -> dict[str, checkpoints.Checkpoint]:
    return checkpoints.catalog(dataset_name)


def catalog(dataset_name: str | None = None) -> dict[str, checkpoints.Checkpoint]:
    """The checkpoints (of one dataset) that this page may show.

    They are listed again after two seconds, so that a finished training appears.
    """
    return checkpoints.visible(_catalog(dataset_name), visitor.owner())


def read_again() -> None:
    """Have `catalog` list the files again: a model was added or removed."""
    _catalog.clear()


def find(checkpoint_id: str) -> checkpoints.Checkpoint:
    """The checkpoint with that id, even if it is newer than the listing; raises CheckpointError if there is none.

    A visitor of a public server finds no other visitor's.
    """
    found = catalog().get(checkpoint_id)
    return found or checkpoints.find(checkpoint_id, checkpoints.visible(checkpoints.catalog(), visitor.owner()))


@st.cache_resource(show_spinner="Loading the model …", max_entries=12)
def _model(checkpoint_id: str, path: str, changed: float) -> nn.Module:
    return prepared(checkpoints.find(checkpoint_id).model(), pick_device(), "fp32")


def model(of: checkpoints.Checkpoint) -> nn.Module:
    """The model, ready on the best device in fp32; loaded again when its file changes."""
    return _model(of.id, str(of.path), written(of))


def written(of: checkpoints.Checkpoint) -> float:
    """When the checkpoint's file was written; raises CheckpointError when it is gone."""
    try:
        return of.path.stat().st_mtime
    except OSError as error:
        raise CheckpointError(f"{of.id} is no longer on this machine; choose another model.") from error


@dataclass(frozen=True)
class ImageAttack:
    """A test image, a model and an attack: what a cached answer depends on. `target` None is untargeted."""

    checkpoint_id: str
    changed: float
    source: data.Source
    index: int
    attack: attacks.Attack
    target: int | None = None

    def open(self) -> tuple[nn.Module, torch.Tensor, int]:
        """The model, the image 1×C×H×W in [0, 1] on its device, and the image's label."""
        checkpoint = find(self.checkpoint_id)
        test = dataset(checkpoint.recipe.dataset)
        pixels = test[self.index : self.index + 1].pixels(pick_device())
        return model(checkpoint), pixels, int(test.labels[self.index])

    def along(self, net: nn.Module, image: torch.Tensor, label: int, epsilons: Sequence[float]) -> scrub.Scrub:
        """The attack at these ε, on what `open` returned."""
        return scrub.scrub(net, image, self.attack, epsilons, label=label, target=self.target, index=self.index)


def image_attack(
    checkpoint: checkpoints.Checkpoint, index: int, attack: attacks.Attack, target: int | None = None
) -> ImageAttack:
    """The attack on a test image of the checkpoint's dataset, with the files as they now are."""
    source = data.find(checkpoint.recipe.dataset)
    return ImageAttack(checkpoint.id, written(checkpoint), source, index, attack, target)


# Streamlit hashes a tuple number by number and a dataclass field by field, which takes as long as the attack.
_BY_TEXT = {tuple: repr, ImageAttack: repr}


@st.cache_data(show_spinner=False, max_entries=512, hash_funcs=_BY_TEXT)
def _scrubbed(asked: ImageAttack, epsilons: tuple[float, ...]) -> scrub.Scrub:
    return asked.along(*asked.open(), epsilons)


def scrubbed(asked: ImageAttack, epsilons: tuple[float, ...]) -> scrub.Scrub:
    """The image under the attack at every ε of the grid (attacks that run again at every ε: of a coarser one)."""
    if asked.attack.single_run:
        return _scrubbed(asked, epsilons)
    grid = scrub.coarse(epsilons)
    return known(asked, grid, grid)


def known(asked: ImageAttack, grid: tuple[float, ...], wanted: Collection[float]) -> scrub.Scrub:
    """What is known of an attack that runs again at every ε of `grid`, with the ε `wanted`: those missing are attacked now.

    The background worker keeps it, as the result of (asked, grid), and may have added to it.
    """
    found = worker().result((asked, grid))
    if missing := sorted(set(wanted) - set(found.epsilons if found else ())):
        found = worker().join((asked, grid), asked.along(*asked.open(), missing), scrub.Scrub.with_more)
    return found


@st.cache_data(show_spinner=False, max_entries=512, hash_funcs=_BY_TEXT)
def outcome(asked: ImageAttack, epsilon: float, _seen: scrub.Scrub) -> single.Outcome:
    """The image at `epsilon`, one of the ε of `_seen`, before and after rounding to 8 bits."""
    return single.outcome_of(asked.open()[0], _seen, asked.attack, _seen.place(epsilon))


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_BY_TEXT)
def _striking(first: ImageAttack, second: ImageAttack, usual: float) -> tuple[int, float]:
    pair = [find(asked.checkpoint_id) for asked in (first, second)]
    return scrub.striking(model(pair[0]), model(pair[1]), dataset(pair[0].recipe.dataset)[:48], usual)


def striking(first: checkpoints.Checkpoint, second: checkpoints.Checkpoint, usual: float) -> tuple[int, float]:
    """The test image and the ε that are shown first: FGSM fools the first model there and not the second."""
    fgsm = attacks.FGSM()
    return _striking(image_attack(first, 0, fgsm), image_attack(second, 0, fgsm), usual)


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_BY_TEXT)
def _breaking(asked: ImageAttack, epsilon: float) -> int:
    checkpoint = find(asked.checkpoint_id)
    net, few = model(checkpoint), dataset(checkpoint.recipe.dataset)[:48]
    pixels, labels = few.pixels(pick_device()), few.labels.to(pick_device())
    both = attacks.FGSM(), asked.attack
    right = [attacks.predict(net, attack.perturb(net, pixels, labels, epsilon)) == labels for attack in both]
    broken = (attacks.predict(net, pixels) == labels) & right[0] & ~right[1]
    return int(broken.int().argmax())


def breaking(of: checkpoints.Checkpoint, epsilon: float) -> int:
    """The first test image that the model gets right and on which PGD fools it at this ε and FGSM does not; 0 if none."""
    return _breaking(image_attack(of, 0, attacks.attack_named("pgd")), epsilon)


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_BY_TEXT)
def _swapping(first: ImageAttack, second: ImageAttack, label: int, epsilon: float) -> int:
    test = dataset(find(first.checkpoint_id).recipe.dataset)
    some = test[(test.labels == label).nonzero().flatten()[:60]]
    clearest = some.contrast.argsort(descending=True)[:12]  # a dark or hazy picture convinces nobody
    few = some[clearest]
    pixels = few.pixels(pick_device())
    toward = torch.full_like(few.labels, first.target).to(pick_device())
    reached = []
    for asked in (first, second):
        net = model(find(asked.checkpoint_id))
        attacked = asked.attack.perturb(net, pixels, toward, epsilon, indices=few.indices)
        reached.append(attacks.predict(net, attacked) == toward)
    # The first image on which only the first model gives that answer counts most.
    return int(few.indices[int((2 * reached[0].int() - reached[1].int()).argmax())])


def swapping(pair: Sequence[checkpoints.Checkpoint], attack: attacks.Attack, label: int, target: int, epsilon: float) -> int:
    """A test image of the class `label` which the attack moves to the class `target` on the first model, not on the second."""
    first, second = (image_attack(item, 0, attack, target) for item in pair)
    return _swapping(first, second, label, epsilon)


@contextlib.contextmanager
def interactive() -> Iterator[None]:
    """Around work that a person waits for, or a function that does it: the background worker pauses until it is done."""
    with worker().interactive():
        yield


def device_text(precision: Precision | None = None) -> str:
    """The device and the precision (by default that of curves) in words; hidden from visitors of a public server."""
    if not visitor.rules().machine:
        return SERVER
    device = pick_device()
    return describe(device, precision or fastest_precision(device.type))
