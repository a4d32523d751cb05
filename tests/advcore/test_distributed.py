"""Several processes as one: the same weights, the same curves, and a killed worker is no loss (gloo, two processes)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.distributed import run

from advcore import data
from advcore import distributed as several
from advcore.attacks import FGSM, PGD
from advcore.cli.main import main
from advcore.evaluation.curves import robustness_curve
from advcore.evaluation.robust_accuracy import robust_accuracy
from advcore.models import checkpoints
from advcore.recipe import Recipe
from advcore.training import loop
from tests.makers import REPOSITORY, copy_of_this_process

# Shares of 32 and 31: processes whose batches differ in size count in proportion. No random draw differs between them.
RECIPE = Recipe(
    dataset="digits",
    architecture="digits_cnn",
    defense="fgsm",
    epsilon=0.1,
    images=300,
    held_out=45,
    batch_size=63,
    epochs=3,
    evaluations=3,
    optimizer="sgd",
    learning_rate=0.02,
)


@pytest.fixture(autouse=True)
def _one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")


def both(folder: Path, *words: str) -> str:
    """What two processes print for the command: copies of this one, with torchrun's variables, which start at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    children = []
    for rank in (0, 1):
        if child := os.fork():
            children.append(child)
            continue
        code = 1
        try:
            os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank))
            sys.stdout = sys.stderr = (folder / f"{rank}.txt").open("w")
            code = main(words)
        finally:
            sys.stdout.flush()
            os._exit(code)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    told = [(folder / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert codes == [0, 0], told
    return "".join(told)


def test_two_processes_train_the_weights_of_one(tmp_path: Path) -> None:
    recipe, out = tmp_path / "recipe.json", tmp_path / "digits" / "two.safetensors"
    recipe.write_text(RECIPE.to_json())
    told = both(tmp_path, "train", "--recipe", str(recipe), "--out", str(out), "--device", "cpu", "--precision", "fp32")
    *moments, last = loop.train(RECIPE, device=torch.device("cpu"), precision="fp32")
    images = data.load("digits", "train")
    start = loop.initial_model(RECIPE, images).state_dict()
    for name, wanted in last.model.state_dict().items():
        found = checkpoints.read(out).model().state_dict()[name]
        # Halved on disk: a thousandth of a weight is rounding.
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=2e-4)
        if name.endswith("weight"):
            assert (wanted - start[name]).abs().max() > 20 * 2e-4, "the weights have gone much farther than that"
    shown = [float(share) for share in re.findall(r"clean ([\d.]+)%", told)]
    watched = [100 * moment.evaluation.clean for moment in moments if moment.evaluation]
    assert shown == pytest.approx(watched, abs=100 * 1.5 / 45), "each watched half of the held-out images"
    assert len(re.findall("Saved", told)) == 1


def test_two_processes_measure_the_curve_of_one(tmp_path: Path) -> None:
    words = ["--checkpoint", "digits/digits_cnn-standard", "--epsilons", "0,0.1,0.3", "--limit", "101", "--precision", "fp32"]
    (found,) = json.loads(both(tmp_path, "curve", *words, "--json"))["results"]
    model, images = checkpoints.find("digits/digits_cnn-standard").model(), data.load("digits", limit=101)
    *_, curve = robustness_curve(model, images, FGSM(), [0, 0.1, 0.3], precision="fp32")
    assert found["points"] == curve.points()
    assert found["images"] == 101


def test_two_processes_evaluate_as_one(tmp_path: Path) -> None:
    words = ["--attack", "pgd", "--steps", "3", "--epsilon", "0.1", "--limit", "21", "--json", "--precision", "fp32"]
    told = both(tmp_path, "evaluate", "--checkpoint", "digits/digits_cnn-standard", *words)
    (found,) = json.loads(told[told.index("{") : told.rindex("}") + 1])["results"]
    model, images = checkpoints.find("digits/digits_cnn-standard").model(), data.load("digits", limit=21)
    *_, last = robust_accuracy(model, images, PGD(steps=3), 0.1, precision="fp32")
    assert (found["points"], found["survivors"]) == (last.curve.points(), last.survivors)


def steps(output: Iterator[str]) -> Iterator[int]:
    for line in output:
        if found := re.match(r"step (\d+)/", line):
            yield int(found[1])


def test_a_killed_worker_is_started_again_and_training_goes_on(tmp_path: Path) -> None:
    options = {"dataset": "digits", "architecture": "digits_cnn", "epochs": 5000, "evaluations": 1000, "held-out": 16}
    command = ["train", *(f"--{name}={value}" for name, value in options.items()), "--batch-size=64"]
    script = str(REPOSITORY / "advcore" / "__main__.py")
    torchrun = ["--nproc-per-node=2", "--max-restarts=1", "--start-method=fork", "--run-path", script]
    agent, output = copy_of_this_process(lambda: run.main([*torchrun, *command]))
    limit = threading.Timer(200, lambda: os.killpg(agent, signal.SIGKILL))
    limit.start()
    try:
        seen = steps(output)
        for _ in range(3):
            before = next(seen)
        workers = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        for after in seen:  # what the other one still printed, then the first line of the new ones
            if after > before + 1000 or not alive(int(workers[0])):
                break
            before = after
        assert after > before > 0, "not from the beginning"
        assert next(seen) > after
    finally:
        limit.cancel()
        os.killpg(agent, signal.SIGKILL)
        os.waitpid(agent, 0)
        output.close()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# --- without torchrun ---------------------------------------------------------------------------------------------------------


def test_one_process_is_a_world_of_its_own() -> None:
    assert several.world() == several.World(0, 1)
    assert several.device() is None
    assert not several.several()
    model = torch.nn.Linear(2, 2)
    assert several.wrap(model, torch.device("cpu")) is model
    assert several.gather("mine") == ["mine"]
    assert several.from_first("mine") == "mine"
    with several.unsynchronized(model):
        pass
    several.close()


def test_new_lives_of_the_processes_never_read_what_the_old_ones_left() -> None:
    store = distributed.HashStore()
    for _ in range(3):
        agreed: list[distributed.Store] = []

        def join(rank: int, agreed: list[distributed.Store] = agreed) -> None:
            agreed.append(several._fresh(store, rank, 3))

        processes = [threading.Thread(target=join, args=(rank,)) for rank in (2, 0, 1)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
        assert len(agreed) == 3
        assert not agreed[0].check(["address"]), "the last life's"
        agreed[0].set("address", "here")
        assert all(other.get("address") == b"here" for other in agreed)


def test_waiting_for_processes_that_never_come_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "_JOIN_SECONDS", 0.1)
    with pytest.raises(several.AdvcoreError, match="2 of 3 processes have not joined"):
        several._fresh(distributed.HashStore(), 0, 3)
