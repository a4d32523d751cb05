"""The training loop: its progress, what it keeps, and that a resumed run equals one that was never stopped."""

from __future__ import annotations

import json
import math
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from advcore import data, distributed
from advcore.attacks import PGD
from advcore.errors import CheckpointError, RecipeError
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints, storage
from advcore.recipe import Recipe
from advcore.training import loop, state, watch
from advcore.training.loop import Trainer, train

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "dataset": "digits",
    "architecture": "digits_cnn",
    "images": 300,
    "held_out": 44,
    "batch_size": 64,
    "epochs": 2,
    "evaluations": 2,
}


@pytest.fixture(scope="module")
def digits_train() -> data.LabeledImages:
    return data.load("digits", "train")


def finished(recipe: Recipe, images: data.LabeledImages, **options: Any) -> nn.Module:
    """The model that the recipe gives."""
    *_, last = train(recipe, images=images, device=CPU, precision="fp32", **options)
    assert last.model is not None
    return last.model


def stop_after_a_step(recipe: Recipe, images: data.LabeledImages, folder: Path) -> None:
    """Begin a run and leave its state in `folder`."""
    running = train(recipe, images=images, device=CPU, precision="fp32", folder=folder)
    next(running)
    running.close()


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return model.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_training_never_touches_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    load = data.load

    def watched(name: str, split: str = "test", **options: Any) -> data.LabeledImages:
        asked.append(split)
        return load(name, split, **options)

    monkeypatch.setattr(data, "load", watched)
    *_, last = train(Recipe(**TINY), device=CPU, precision="fp32")
    assert last.model is not None
    assert asked == ["train"]


def test_progress_tells_all_and_ends_with_the_model(digits_train: data.LabeledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_YIELD_SECONDS", 0.0)
    *moments, last = train(Recipe(**TINY), images=digits_train, device=CPU, precision="fp32")
    assert [item.step for item in moments] == list(range(1, 9))
    assert all(item.steps == 8 and math.isfinite(item.loss) and item.images_per_second > 0 for item in moments)
    assert [item.epoch for item in moments] == [1] * 4 + [2] * 4
    assert [item.evaluation.step for item in moments if item.evaluation] == [4, 8]
    assert all(item.evaluation.images == 44 for item in moments if item.evaluation)
    assert moments[0].seconds_left > moments[-1].seconds_left == 0
    assert last.model is not None
    assert not last.model.training
    assert not any(parameter.requires_grad for parameter in last.model.parameters())


def test_the_latest_weights_as_good_as_the_best_are_kept(digits_train: data.LabeledImages) -> None:
    # So fast a rate makes accuracies jump about: the last evaluation is hardly ever among the best.
    values = {**TINY, "epochs": 4, "evaluations": 8, "learning_rate": 0.05, "held_out": 100}
    recipe = Recipe(**values, defense="fgsm_rs", epsilon=0.1, keep_best=True)
    trainer = Trainer(recipe, digits_train, CPU, "fp32", None)
    *_, last = trainer.run()
    best = 0.0
    for item in trainer.history:
        best = max(best, item.pgd)
        if item.pgd >= best - (best * (1 - best) / 100) ** 0.5:
            expected = item.pgd
    held = watch.split_held_out(digits_train, recipe)[1]
    found = accuracy(last.model, held, PGD(steps=watch.EVALUATION_STEPS), 0.1, device=CPU, precision="fp32")
    assert found == pytest.approx(expected)
    assert not same(weights(last.model), weights(trainer.network))


def test_a_collapse_ends_a_run_that_keeps_its_best(digits_train: data.LabeledImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "collapsed", lambda history: len(history) >= 2)
    recipe = Recipe(**{**TINY, "evaluations": 4}, defense="fgsm_rs", epsilon=0.1, keep_best=True)
    *_, last = train(recipe, images=digits_train, device=CPU, precision="fp32")
    assert (last.step, last.steps) == (4, 8)
    assert "collapsed" in last.warning
    *_, kept = train(replace(recipe, keep_best=False), images=digits_train, device=CPU, precision="fp32")
    assert kept.step == 8


def test_the_standard_epochs_are_those_of_a_standard_training(
    digits_train: data.LabeledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[int]] = []
    monkeypatch.setattr(watch, "overfitting", lambda history: told.append([item.step for item in history]))
    monkeypatch.setattr(watch, "collapsed", lambda history: 4 in [item.step for item in history])
    values = {**TINY, "defense": "fgsm_rs", "epsilon": 0.1, "keep_best": True, "averaging": 0.9}
    delayed, standard = (
        Trainer(recipe, digits_train, CPU, "fp32", None)
        for recipe in (Recipe(**values, standard_epochs=1), Recipe(**TINY, averaging=0.9))
    )
    for trainer in (delayed, standard):
        for _ in range(delayed.steps_per_epoch):
            trainer.advance()
    assert same(weights(delayed.network), weights(standard.network))
    for trainer in (delayed, standard):
        trainer.advance()
    assert not same(weights(delayed.network), weights(standard.network))
    # What FGSM and PGD accuracy say about a defense is not asked before it begins.
    *_, last = train(Recipe(**values, standard_epochs=1), images=digits_train, device=CPU, precision="fp32")
    assert (last.step, told) == (8, [[], [8]])


def test_a_restart_goes_on_from_the_average_alone_with_the_schedule_begun_again(
    digits_train: data.LabeledImages, tmp_path: Path
) -> None:
    values = {**TINY, "optimizer": "sgd", "learning_rate": 0.02, "schedule": "cyclic", "averaging": 0.9, "evaluations": 0}
    recipe = Recipe(**values, restart=1)
    trainer = Trainer(recipe, digits_train, CPU, "fp32", None)
    rates = []
    for _ in range(trainer.restart):
        trainer.advance()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    average = {name: value.clone() for name, value in weights(trainer.average.module).items()}
    assert not same(average, weights(trainer.network))
    still = {index: {"momentum_buffer": torch.zeros_like(of)} for index, of in enumerate(trainer.network.parameters())}
    now = state.State(trainer.step, 1.0, "fp32", (), model=average, average=average, best={}, optimizer=still)
    state.save(tmp_path, recipe, now)
    other = Trainer(recipe, digits_train, CPU, "fp32", tmp_path)
    for expected in rates:
        trainer.advance()
        other.advance()
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(expected)
    assert same(weights(trainer.network), weights(other.network))
    assert same(weights(trainer.average.module), weights(other.average.module))


# --- stopping and going on ---------------------------------------------------------------------------------------------------

COLOUR: dict[str, Any] = {**TINY, "dataset": "cifar10", "images": None, "held_out": 20, "batch_size": 20, "epochs": 3}
RUNS: dict[str, dict[str, Any]] = {
    "fgsm": {**TINY, "defense": "fgsm", "epsilon": 0.2},
    "trades with everything": {
        **TINY,
        "defense": "trades",
        "epsilon": 0.1,
        "attack_steps": 2,
        "averaging": 0.9,
        "augment": ("flip", "rotate", "crop"),
        "schedule": "cosine",
        "keep_best": True,
        "weight_decay": 0.01,
    },
    "sgd": {
        **TINY,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "defense": "fgsm_rs",
        "epsilon": 0.1,
        "schedule": "cyclic",
        "restart": 1,
    },
    "muon": {**TINY, "optimizer": "muon", "learning_rate": 0.02, "augment": ("alternate_flip", "shift"), "schedule": "linear"},
    "n_fgsm": {**TINY, "defense": "n_fgsm", "epsilon": 0.1, "standard_epochs": 1},
    "dropout": {**COLOUR, "architecture": "general_cnn", "augment": ("crop",)},
    "batch norm": {
        **COLOUR,
        "architecture": "preact_resnet18",
        "width": 4,
        "defense": "pgd",
        "epsilon": 0.03,
        "attack_steps": 2,
    },
}


def colours() -> data.LabeledImages:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (100, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return data.LabeledImages(pixels, torch.arange(100) % 10, tuple("abcdefghij"), "cifar10")


@pytest.mark.parametrize("run", list(RUNS))
def test_a_resumed_run_gives_the_same_weights_as_one_never_stopped(
    run: str, digits_train: data.LabeledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(**RUNS[run])
    images = digits_train if recipe.dataset == "digits" else colours()
    whole = finished(recipe, images)
    monkeypatch.setattr(loop, "_YIELD_SECONDS", 0.0)
    dice, final, histories = random.Random(run), None, []
    while final is None:
        running = train(recipe, images=images, device=CPU, precision="fp32", folder=tmp_path)
        for _ in range(dice.randint(1, 3)):
            if (moment := next(running)).model is not None:
                final = moment.model
                break
            histories += [moment.evaluation] if moment.evaluation else []
        running.close()
    assert same(weights(final), weights(whole))
    assert [item.step for item in histories] == sorted({item.step for item in histories})
    assert [path.name for path in tmp_path.iterdir()] == [state.STATE_FILE]


def test_a_resumed_run_keeps_the_precision_it_began_with(
    digits_train: data.LabeledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one is faster is measured, and a busy machine may measure otherwise the second time."""
    recipe, seen = Recipe(**{**TINY, "held_out": 0}), []
    for faster in ("bf16", "fp32"):
        monkeypatch.setattr(loop, "fastest_precision", lambda _, faster=faster: faster)
        running = train(recipe, images=digits_train, device=CPU, folder=tmp_path)
        seen.append(next(running).precision)
        running.close()
    told = next(train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path)).precision
    assert (*seen, told) == ("bf16", "bf16", "fp32")


def test_the_end_remembers_every_evaluation(digits_train: data.LabeledImages, tmp_path: Path) -> None:
    """Those of before a stop as well."""
    recipe = Recipe(**{**TINY, "held_out": 32, "evaluations": 3})
    running = train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path)
    seen = [next(found for item in running if (found := item.evaluation))]
    running.close()
    *rest, last = train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path)
    seen += [item.evaluation for item in rest if item.evaluation]
    assert len(seen) == 3
    assert list(last.history) == seen
    assert all(type(item.step) is int and type(item.images) is int for item in last.history)


def test_all_processes_take_the_precision_of_the_first(
    digits_train: data.LabeledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each could measure another one to be faster, and their gradients would not be of one kind."""
    monkeypatch.setattr(loop, "fastest_precision", lambda _: "fp32")
    monkeypatch.setattr(distributed, "from_first", lambda mine: "bf16" if mine == "fp32" else mine)
    assert Trainer(Recipe(**TINY), digits_train, CPU, None, None).precision == "bf16"


def test_a_resumed_run_does_not_need_the_checkpoint_it_started_from(digits_train: data.LabeledImages, tmp_path: Path) -> None:
    place = checkpoints.own_root() / "digits" / "start.safetensors"
    shutil.copytree(checkpoints.shipped_root() / "digits", place.parent)
    (place.parent / "digits_cnn-standard.safetensors").rename(place)
    recipe = Recipe(**{**TINY, "held_out": 0}, warm_start="digits/start")
    whole = finished(recipe, digits_train)
    stop_after_a_step(recipe, digits_train, tmp_path / "run")
    place.unlink()
    assert same(weights(finished(recipe, digits_train, folder=tmp_path / "run")), weights(whole))


def test_alternating_flips_show_each_image_both_ways(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**{**TINY, "batch_size": 5000}, augment=("alternate_flip",))
    trainer = Trainer(recipe, digits_train, CPU, "fp32", None)
    first = trainer._batch()[0]
    trainer.step = 1  # the second epoch
    second = trainer._batch()[0]
    both = [{bytes(image.numpy().tobytes()) for image in images} for images in (first, second.flip(3).contiguous())]
    assert both[0] == both[1]
    mirrored = sum(not torch.equal(image, image.flip(2)) and image.numpy().tobytes() in both[0] for image in second)
    assert mirrored == 0


def test_a_finished_run_gives_its_model_again(digits_train: data.LabeledImages, tmp_path: Path) -> None:
    recipe = Recipe(**{**TINY, "held_out": 0})
    first = finished(recipe, digits_train, folder=tmp_path)
    moments = list(train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path))
    assert len(moments) == 1
    assert same(weights(moments[0].model), weights(first))


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**TINY, defense="fgsm_rs", epsilon=0.1)
    one, again = finished(recipe, digits_train), finished(recipe, digits_train)
    assert same(weights(one), weights(again))
    assert not same(weights(one), weights(finished(replace(recipe, seed=1), digits_train)))


@pytest.fixture(scope="module")
def saved_once(digits_train: data.LabeledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    stop_after_a_step(Recipe(**TINY, averaging=0.5), digits_train, folder)
    return folder


@pytest.fixture
def saved(saved_once: Path, tmp_path: Path) -> Path:
    """The folder of a run stopped after its first step."""
    return shutil.copytree(saved_once, tmp_path / "run")


def change_state(folder: Path, tensors: dict[str, Any] | None = None, **facts: Any) -> None:
    """The state with other tensors (None drops one) and other facts in its header."""
    path = folder / state.STATE_FILE
    held, metadata = storage.read_safetensors(path)
    held = {name: value for name, value in (held | (tensors or {})).items() if value is not None}
    header = json.loads(metadata["training"]) | {"checksum": state._checksum(held)} | facts
    storage.write_safetensors(path, held, {"training": json.dumps(header)})


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -1},
        {"step": 10**9},
        {"step": "4"},
        {"step": None},
        {"seconds": "long"},
        {"history": [1]},
        {"history": [{"step": 1}]},
        {"history": {"a": 1}},
        {"tensors": {"model.1.weight": None}},
        {"tensors": {"model.1.weight": torch.zeros(2)}},
        {"tensors": {"model.more": torch.zeros(2)}},
        {"tensors": {"average.1.weight": None}},
        {"tensors": {"best.1.weight": torch.zeros(1)}},
        {"tensors": {"optimizer.0.exp_avg": torch.zeros(7)}},
        {"tensors": {"optimizer.99.exp_avg": torch.zeros(7)}},
        {"tensors": {"optimizer.x": torch.zeros(7)}},
        {"tensors": {f"optimizer.3.{name}": None for name in ("step", "exp_avg", "exp_avg_sq")}},
    ],
    ids=str,
)
def test_a_state_that_is_none_is_refused_with_a_sentence(
    changes: dict[str, Any], saved: Path, digits_train: data.LabeledImages
) -> None:
    change_state(saved, **changes)
    with pytest.raises(CheckpointError, match="delete it to start again"):
        next(train(Recipe(**TINY, averaging=0.5), images=digits_train, device=CPU, precision="fp32", folder=saved))


def test_a_truncated_or_foreign_state_is_refused(saved: Path, digits_train: data.LabeledImages) -> None:
    path = saved / state.STATE_FILE
    whole = path.read_bytes()
    for broken in (b"", whole[:7], whole[: len(whole) // 2], b"PK" + whole, whole[:8] + b"x" + whole[9:]):
        path.write_bytes(broken)
        with pytest.raises(state.DamagedState):
            next(train(Recipe(**TINY, averaging=0.5), images=digits_train, device=CPU, folder=saved))
        with pytest.raises(state.DamagedState):
            state.state_step(saved)


def test_a_state_with_one_wrong_bit_among_its_weights_is_refused(saved: Path) -> None:
    path, recipe = saved / state.STATE_FILE, Recipe(**TINY, averaging=0.5)
    assert state.load(saved, recipe) is not None
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)
    assert state.state_step(saved) == 1
    with pytest.raises(state.DamagedState):
        state.load(saved, recipe)


def test_the_state_of_another_recipe_is_left_alone(saved: Path, digits_train: data.LabeledImages) -> None:
    before = (saved / state.STATE_FILE).read_bytes()
    with pytest.raises(RecipeError, match="another recipe"):
        next(train(Recipe(**TINY, averaging=0.5, seed=9), images=digits_train, device=CPU, folder=saved))
    assert (saved / state.STATE_FILE).read_bytes() == before


def test_the_step_is_read_without_the_tensors(saved: Path, tmp_path: Path) -> None:
    assert state.state_step(saved) == 1
    assert state.state_step(tmp_path / "nowhere") == 0


# --- what cannot be trained --------------------------------------------------------------------------------------------------


def test_a_diverging_run_says_so_and_saves_nothing_broken(digits_train: data.LabeledImages, tmp_path: Path) -> None:
    recipe = Recipe(**{**TINY, "epochs": 40, "evaluations": 40}, optimizer="sgd", learning_rate=10.0)
    with pytest.raises(RecipeError, match=r"diverged.*lower the learning rate"):
        list(train(recipe, images=digits_train, device=CPU, precision="fp32", folder=tmp_path))


def test_a_start_of_another_architecture_is_refused(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**{**TINY, "architecture": "general_cnn"}, warm_start="digits/digits_cnn-standard")
    with pytest.raises(RecipeError, match="another architecture"):
        next(train(recipe, images=digits_train, device=CPU))


def test_a_warm_start_begins_with_the_checkpoints_weights(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**TINY, warm_start="digits/digits_cnn-standard")
    start = checkpoints.find("digits/digits_cnn-standard").model()
    assert same(weights(loop.initial_model(recipe, digits_train)), weights(start))


def test_given_models_stand_for_checkpoints(digits_train: data.LabeledImages) -> None:
    """As a warm start and as a teacher; the one that was given is not changed."""
    taught = Recipe(**TINY, defense="distill", teacher="digits/nobody", warm_start="digits/nobody")
    given = checkpoints.find("digits/digits_cnn-standard").model()
    before = weights(given)
    assert same(weights(loop.initial_model(taught, digits_train, {"digits/nobody": given})), before)
    *_, last = train(taught, images=digits_train, device=CPU, precision="fp32", given={"digits/nobody": given})
    assert last.model is not None
    assert same(weights(given), before)
    # It learns what it knows already: its weights hardly move.
    moved = max(float((value - before[name]).abs().max()) for name, value in weights(last.model).items())
    assert moved < 0.02


def test_a_teacher_of_other_images_is_refused(digits_train: data.LabeledImages) -> None:
    recipe = Recipe(**TINY, defense="distill", teacher="mnist/lee_cnn-standard")
    with pytest.raises(CheckpointError, match="takes images of 28×28 grey"):
        next(train(recipe, images=digits_train, device=CPU))


def test_unknown_checkpoints_are_named(digits_train: data.LabeledImages) -> None:
    for values in ({"warm_start": "digits/nobody"}, {"defense": "distill", "teacher": "../../etc/passwd"}):
        with pytest.raises(CheckpointError, match="There is no checkpoint"):
            next(train(Recipe(**TINY, **values), images=digits_train, device=CPU))


def test_a_batch_larger_than_the_images_is_the_whole_of_them(digits_train: data.LabeledImages) -> None:
    *_, last = train(Recipe(**{**TINY, "batch_size": 5000}), images=digits_train, device=CPU, precision="fp32")
    assert last.step == 2
