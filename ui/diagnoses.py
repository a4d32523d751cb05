"""The diagnosis of a model: read from its header, from an earlier run, or measured in the background."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Hashable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from torch import nn

from advcore import data
from advcore.errors import AdvcoreError
from advcore.evaluation.diagnosis import CHECKS, Diagnosis, Progress, diagnose, other_model
from advcore.files import read_object, write_whole
from advcore.models import checkpoints
from advcore.models.checkpoints import Checkpoint
from ui import load, visitor
from ui.worker import Task, pausing, worker

_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Request:
    """Everything that a diagnosis depends on: a model, an ε (L∞, pixel space), and the first `images` test images."""

    checkpoint_id: str
    changed: float
    source: data.Source
    epsilon: float
    images: int
    other_id: str | None
    """The model on which the attacks of the transfer check are made."""

    @property
    def path(self) -> Path:
        """Where the measured diagnosis is kept; the name is a hash, so that no text from outside chooses a path."""
        return checkpoints.runs_root() / "diagnoses" / f"{hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:24]}.json"


def request(checkpoint: Checkpoint, epsilon: float, images: int) -> Request:
    """The request for a checkpoint, with its file and images as they are now; raises CheckpointError if it is gone."""
    source = data.find(checkpoint.recipe.dataset)
    other = other_model(checkpoint, load.catalog(checkpoint.recipe.dataset).values())
    return Request(checkpoint.id, load.written(checkpoint), source, epsilon, images, None if other is None else other.id)


def progress(of: Request) -> Progress | None:
    """How far it is: in memory, else on the disk; None if nothing is done or the file cannot be read."""
    if found := worker().result(of):
        return found
    kept = read_object(of.path, _MOST_BYTES)
    try:
        found = Progress(kept["share"], kept["check"], Diagnosis.from_dict(kept["state"]["diagnosis"]), kept["state"])
        return found if 0 <= found.share <= 1 and found.check in (None, *CHECKS) else None
    except (KeyError, TypeError, AdvcoreError):
        return None


def start(of: Request) -> None:
    """Measure it in the background, even while the page is closed, after the last finished check.

    A visitor of a public server has one diagnosis at a time: another one stops. Raises LimitError after too many.
    """
    visitor.spend("check")
    checkpoint = load.find(of.checkpoint_id)
    other = None if of.other_id is None else load.model(load.find(of.other_id))
    images = load.dataset(checkpoint.recipe.dataset)[: of.images]
    run = functools.partial(_run, of, load.model(checkpoint), other, images, checkpoint.defended)
    patience = visitor.rules().check_seconds
    worker().ask(_asker(of), [Task(of, run, lambda found: found.check is None)], patience=patience, group=visitor.group())


def stop(of: Request) -> None:
    """Stop measuring; finished checks are kept."""
    worker().stop(_asker(of))


def running(of: Request) -> bool:
    """Whether it is being measured, or waits to be."""
    return worker().wanted(_asker(of), of)


def _asker(of: Request) -> Hashable:
    """The worker's owner of the request: the visitor of a public server, else the request itself."""
    name = visitor.owner()
    return of if name is None else ("check", name)


def _run(
    of: Request, model: nn.Module, other: nn.Module | None, images: data.LabeledImages, defended: bool, _: Progress | None
) -> Iterator[Progress]:
    kept = progress(of)
    other = None if other is None else pausing(other)
    whole = -1
    for found in diagnose(
        pausing(model), images, of.epsilon, defended=defended, other=other, state=kept.state if kept else None
    ):
        if len(found.diagnosis.counts) > whole:
            whole = len(found.diagnosis.counts)
            of.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(of.path, json.dumps({"share": found.share, "check": found.check, "state": found.state}))
        yield found
