"""A public server: what a visitor may take, and that the queue gives each their own jobs and models alone."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from advcore.errors import CheckpointError, LimitError
from advcore.jobs import limits, queue, worker
from advcore.models import checkpoints
from advcore.training import estimate
from tests.advcore.jobs.folders import TINY, claim, make
from tests.makers import REPOSITORY
from tests.own_models import own


def of_visitor(folder: Path, owner: str = "one") -> Path:
    (folder / "visitor.json").write_text(json.dumps({"owner": owner}))
    return folder


def model_of(owner: str, name: str) -> checkpoints.Checkpoint:
    """A small model of a visitor's."""
    made = own(name)
    provenance = {"visitor": owner}
    shape, names = made.shape, made.class_names
    checkpoints.save(made.path, made.model(), made.recipe, shape=shape, class_names=names, metrics={}, provenance=provenance)
    return checkpoints.read(made.path, own=True)


def test_the_readme_has_the_table_of_the_limits() -> None:
    assert limits.table() in (REPOSITORY / "README.md").read_text()


def test_one_training_runs_and_one_waits_for_each_visitor(launched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_JOBS", "2")
    first, second = queue.start(TINY, "one"), queue.start(TINY, "one")
    with pytest.raises(LimitError, match="stop one"):
        queue.start(TINY, "one")
    other = queue.start(TINY, "two")
    assert [name for name in launched if name != "jobs"] == [first.id, other.id], (
        "there was room for the second, but not for this visitor"
    )
    assert [job.id for job in queue.listing("one")] == [second.id, first.id]
    assert len(queue.listing()) == 3
    for use in (queue.find, queue.stop, queue.resume, queue.start_again, queue.delete):
        with pytest.raises(queue.JobError, match="There is no job"):
            use(first.id, "two")
    queue.delete(second.id, "one")
    with pytest.raises(queue.JobError, match="no longer"):
        queue.restore(second.id, "two")
    queue.start(TINY, "one")
    with pytest.raises(LimitError, match="stop one"):
        queue.restore(second.id, "one")


def test_the_queue_has_an_end(launched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRAINING", replace(limits.TRAINING, waiting_together=1))
    for visitor in ("one", "two"):
        queue.start(TINY, visitor)
    with pytest.raises(LimitError, match="try again later"):
        queue.start(TINY, "three")
    queue.start(TINY)  # the host


@pytest.mark.parametrize(
    "more",
    [
        {"epochs": 10_000, "images": None},
        {"epochs": 30, "evaluations": 1000, "images": None, "held_out": 1000, "architecture": "preact_resnet18"},
        {"batch_size": 1000},
        {"architecture": "preact_resnet18", "width": 128},
        {"defense": "pgd", "attack_steps": 1000, "epochs": 500, "images": None},
    ],
)
def test_a_training_that_takes_too_much_is_refused_to_visitors_alone(more: dict[str, object], launched: list[str]) -> None:
    recipe = replace(TINY, **more)
    with pytest.raises(LimitError):
        queue.start(recipe, "one")
    assert queue.listing() == []
    assert queue.start(recipe).state == "running"


def test_work_is_counted_from_images_epochs_and_the_attack() -> None:
    plain = replace(TINY, evaluations=0)
    operations, weights = estimate.work(plain)
    assert weights > 10_000
    assert estimate.work(replace(plain, epochs=4))[0] == pytest.approx(2 * operations)
    assert estimate.work(replace(plain, images=150))[0] == pytest.approx(operations / 2)
    assert estimate.work(replace(plain, defense="pgd", attack_steps=7))[0] == pytest.approx(operations * 10 / 3)
    assert estimate.work(TINY)[0] > operations


def test_a_visitor_starts_from_no_model_of_another(launched: list[str]) -> None:
    theirs = model_of("two", "theirs")
    with pytest.raises(CheckpointError, match="There is no checkpoint") as refused:
        queue.start(replace(TINY, warm_start=theirs.id), "one")
    assert theirs.id not in str(refused.value).split(";")[1], "nor are they told of it"
    assert queue.start(replace(TINY, warm_start=theirs.id), "two").state == "running"
    assert theirs.id in checkpoints.visible(checkpoints.catalog(), "two")


def test_a_full_disk_quota_refuses_another_training(launched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (of_visitor(make()) / "state.safetensors").write_bytes(bytes(2000))
    made = model_of("one", "mine")
    used = queue.disk()["one"]
    assert used >= 2000 + made.path.stat().st_size
    monkeypatch.setattr(limits, "TRAINING", replace(limits.TRAINING, disk=used))
    with pytest.raises(LimitError, match="delete some"):
        queue.start(TINY, "one")
    queue.start(TINY, "two")


def test_what_a_visitor_made_is_kept_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, theirs, running = make(number=1), of_visitor(make(number=2)), of_visitor(make(number=3))
    claim(running, os.getpid())
    mine, gone = own("mine"), model_of("one", "gone")
    young = queue.root() / time.strftime("%Y%m%d-%H%M%S-000000")
    theirs_deleted = of_visitor(make(number=4))
    theirs_deleted.replace(queue.root() / f".{theirs_deleted.name}.deleted")
    of_visitor(make(number=5)).replace(young)
    for item in (mine, gone):
        os.utime(item.path, (1e9, 1e9))
    fresh = model_of("one", "fresh")
    queue.tidy(time.time() + 1200)
    assert [folder.exists() for folder in (hosts, theirs, running, young)] == [True, False, True, True]
    assert not list(queue.root().glob(".*.deleted"))
    assert [item.path.exists() for item in (mine, gone, fresh)] == [True, False, True]


def test_a_visitors_training_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "limit_memory", lambda _: None)
    monkeypatch.setattr(limits, "TRAINING", replace(limits.TRAINING, minutes=0))
    folder = of_visitor(make(replace(TINY, epochs=1000)))
    assert worker.run(folder) == 2
    job = queue.read(folder)
    assert (job.state, job.spent, job.resumable) == ("failed", True, False)


def test_a_visitors_training_is_bound_and_says_nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[int] = []
    monkeypatch.setattr(worker, "limit_memory", bounds.append)
    folder = of_visitor(make(replace(TINY, epochs=1)))
    assert worker.run(folder) == 0
    made = checkpoints.find(queue.read(folder).checkpoint)
    assert bounds == [limits.TRAINING.memory]
    assert (made.visitor, made.provenance["device"]) == ("one", "a public server")


def test_rates_are_kept_for_each_visitor_and_for_all() -> None:
    counts, rules = limits.Counts(), limits.VISITOR
    rate = rules.rates["estimate"]
    for _ in range(rate.times):
        counts.spend(rules, "one", "estimate", 100.0)
    with pytest.raises(LimitError, match="try again in 50 s"):
        counts.spend(rules, "one", "estimate", 110.0)
    counts.spend(rules, "two", "estimate", 110.0)
    counts.spend(rules, "one", "picture", 110.0)
    counts.spend(rules, "one", "estimate", 100.0 + rate.seconds)
    for number in range(rate.times * limits.SHARE - 2):
        counts.spend(rules, str(number), "estimate", 161.0)
    with pytest.raises(LimitError):
        counts.spend(rules, "a new one", "estimate", 161.0)
    for _ in range(1000):
        counts.spend(limits.FREE, "host", "estimate", 0.0)
