"""The training loop: carries out a recipe and yields its progress.

Images stay on the device as uint8 and are augmented there a batch at a time. Every random draw comes from (seed, step), so
that a resumed run gives the same weights as one that was never stopped.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from advcore import data, distributed
from advcore.defenses import DEFENSES, Step
from advcore.defenses.batches import Batches
from advcore.device import Precision, fastest_precision, keep_freed_memory, pick_device
from advcore.errors import RecipeError
from advcore.models import checkpoints
from advcore.models.architectures import fit_to_images
from advcore.recipe import Recipe
from advcore.training import state, watch
from advcore.training.augment import augment, mirrored
from advcore.training.optimizers import optimizer, running_average, set_learning_rate
from advcore.training.watch import Evaluation

_YIELD_SECONDS = 0.25
_SAVE_SECONDS = 20.0
_FITTED = 5000  # training images that the whitening filters of a network are taken from


@dataclass(frozen=True)
class Progress:
    """The progress of a training. `evaluation` is set when one was just made, `model` and `history` once it is finished.

    `precision` is what the steps are computed in; `history` holds every evaluation of the run, in order.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    images_per_second: float
    seconds: float
    seconds_left: float
    precision: Precision = "fp32"
    evaluation: Evaluation | None = None
    warning: str | None = None
    model: nn.Module | None = field(default=None, repr=False, compare=False)
    history: tuple[Evaluation, ...] = ()


def train(
    recipe: Recipe,
    *,
    images: data.LabeledImages | None = None,
    device: torch.device | None = None,
    precision: Precision | None = None,
    folder: Path | None = None,
    given: Mapping[str, nn.Module] | None = None,
) -> Iterator[Progress]:
    """Carry out a recipe, yielding progress a few times a second; the last Progress holds the finished model (fp32, CPU).

    `images` is the training split (loaded by name if left out). With `folder`, the state is saved there every 20 s, at every
    evaluation, at the end and when the iterator is closed; a run that finds its own state there continues from it, with the
    same result as if it had never stopped (in the precision it began with, unless another is given). Under torchrun each
    process takes its share of every batch, and rank 0 saves. `given` are models that stand for the checkpoints of these ids,
    as warm start or teacher.
    Raises RecipeError when the folder holds another run's state or the loss is no longer finite, CheckpointError when the
    state is damaged or a teacher takes other images, DataError without data.
    """
    keep_freed_memory()
    images = images or data.load(recipe.dataset, "train", limit=recipe.images)
    yield from Trainer(recipe, images, device, precision, folder, given).run()


class Trainer:
    """One run: the model, its optimizer and the data, all on the device. `run` carries it out, `advance` is one step of it."""

    def __init__(
        self,
        recipe: Recipe,
        images: data.LabeledImages,
        device: torch.device | None,
        precision: Precision | None,
        folder: Path | None,
        given: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self.recipe, self.folder, self.world = recipe, folder, distributed.world()
        self.device = device or distributed.device() or pick_device()
        train_images, self.held_out = watch.split_held_out(images, recipe)
        self.images, self.labels = train_images.images.to(self.device), train_images.labels.to(self.device)
        self.batch_size = min(recipe.batch_size, len(self.images))
        if self.batch_size < self.world.size:
            raise RecipeError(f"A batch of {recipe.batch_size} cannot be shared by {self.world.size} processes; enlarge it.")
        # The last, smaller batch is dropped, unless it is the only one.
        self.steps_per_epoch = len(self.images) // self.batch_size
        self.steps = self.steps_per_epoch * recipe.epochs
        self.standard_steps = self.steps_per_epoch * recipe.standard_epochs
        self.restart = self.steps_per_epoch * recipe.restart
        self.order = (-1, torch.empty(0, dtype=torch.int64))
        # Which way an image faces in even epochs; in odd ones it faces the other (`alternate_flip`, Jordan 2024).
        sides = torch.randint(2, (len(self.images),), generator=torch.Generator().manual_seed(recipe.seed))
        self.sides = sides.to(self.device)
        found = state.load(folder, recipe)
        # A state holds every weight: the checkpoint that training started from is not needed again.
        network = fresh_model(recipe, images) if found else initial_model(recipe, images, given)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.optimizer = optimizer(recipe, self.network)
        self.average = running_average(self.network, recipe.averaging) if recipe.averaging else None
        self.teacher = self._teacher(images, given or {})
        self.step, self.seconds = 0, 0.0
        self.history: list[Evaluation] = []
        self.best: state.Weights = {}
        if found:
            self._continue_from(found)
        self.model = distributed.wrap(Batches(self.network), self.device)
        # Which precision is faster is measured, and two measurements can differ: all processes take the first one's, and a
        # run keeps the one it began with.
        begun = found.precision if found else distributed.from_first(precision or fastest_precision(self.device.type))
        self.precision: Precision = precision or begun

    def _teacher(self, images: data.LabeledImages, given: Mapping[str, nn.Module]) -> nn.Module | None:
        name = self.recipe.teacher
        if name is None:
            return None
        if name in given:
            teacher = copy.deepcopy(given[name])
        else:
            found = checkpoints.find(name)
            found.require(images)
            teacher = found.model()
        return teacher.to(self.device, memory_format=torch.channels_last)

    def run(self) -> Iterator[Progress]:
        """Every step from where the run stands to its end."""
        began, first, earlier = time.perf_counter(), self.step, self.seconds
        shown, saved = 0.0, began
        due = watch.evaluation_steps(self.recipe, self.steps)
        try:
            while self.step < self.steps and not self._spent():
                loss = self.advance()
                now, evaluate = time.perf_counter(), self.step in due
                save = evaluate or now - saved > _SAVE_SECONDS
                if not (save or now - shown > _YIELD_SECONDS or self.step == first + 1):
                    continue
                if not math.isfinite(value := float(loss)):
                    raise RecipeError("The training diverged: its loss is not a finite number; lower the learning rate.")
                evaluation = self._evaluate() if evaluate else None
                warning = watch.overfitting(self._watched()) if evaluate else None
                shown = time.perf_counter()
                self.seconds = earlier + shown - began
                if save:
                    self._save()
                    saved = time.perf_counter()
                per_step = (shown - began) / (self.step - first)
                yield self._progress(value, per_step, evaluation=evaluation, warning=warning)
        except GeneratorExit:  # closed between two steps: the state is whole
            self._save()
            raise
        self._save()
        warning = None
        if self._spent():
            kept = watch.kept_of(self.history)
            stay = f"the weights of step {kept.step} ({100 * kept.pgd:.0f} %) stay"
            warning = f"Ended at step {self.step} of {self.steps}: PGD accuracy collapsed; {stay}."
        per_step = self.seconds / self.step if self.step else 0.0
        yield self._progress(math.nan, per_step, warning=warning, model=self._final_model(), history=tuple(self.history))

    def advance(self) -> Tensor:
        """Train on the next batch; the batch's loss, still on the device."""
        recipe = self.recipe
        if self.restart and self.step == self.restart:
            self.optimizer.state.clear()
            self.network.load_state_dict(self._kept())
        images, labels, weight = self._batch()
        draw = (recipe.seed * 1_000_003 + self.step) * self.world.size + self.world.rank
        torch.manual_seed(draw)  # dropout draws from the global generator
        step = Step(self.model, self.network, recipe, torch.Generator(self.device).manual_seed(draw), self.teacher)
        images = augment(images, recipe.augment, step.generator).contiguous(memory_format=torch.channels_last)
        set_learning_rate(self.optimizer, recipe.schedule, self._share_of_schedule())
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        defense = "standard" if self.step < self.standard_steps else recipe.defense
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            for loss in DEFENSES[defense].losses(step, images, labels):
                (loss if weight == 1 else loss * weight).backward()
                total += loss.detach()
        self.optimizer.step()
        self.step += 1
        if self.average:
            self.average.update_parameters(self.network)
        return total

    def _share_of_schedule(self) -> float:
        """The share done of the learning rate's schedule, which begins again at the restart."""
        if self.step < self.restart:
            return self.step / self.restart
        return (self.step - self.restart) / (self.steps - self.restart)

    def _watched(self) -> list[Evaluation]:
        """The evaluations since the defense began: before, FGSM and PGD accuracy say nothing about it."""
        return [item for item in self.history if item.step > self.standard_steps]

    def _batch(self) -> tuple[Tensor, Tensor, float]:
        """This process's share of the step's batch, and its weight relative to the other processes' shares."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self.order[0] != epoch:  # from the seed and the epoch alone, so that a run can be resumed at any step
            generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + epoch)
            self.order = (epoch, torch.randperm(len(self.images), generator=generator).to(self.device))
        whole = self.order[1][position * self.batch_size : (position + 1) * self.batch_size]
        mine = whole[self.world.rank :: self.world.size]
        images = self.images[mine].float().div_(255)
        if "alternate_flip" in self.recipe.augment:
            images = mirrored(images, (self.sides[mine] + epoch) % 2 == 1)
        return images, self.labels[mine], len(mine) * self.world.size / len(whole)

    def _progress(self, loss: float, per_step: float, **more: object) -> Progress:
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=(self.step - 1) // self.steps_per_epoch + 1,
            loss=loss,
            images_per_second=self.batch_size / per_step if per_step else 0.0,
            seconds=self.seconds,
            seconds_left=0.0 if "model" in more else per_step * (self.steps - self.step),
            precision=self.precision,
            **more,  # type: ignore[arg-type]
        )

    def _spent(self) -> bool:
        """Whether a run that keeps its best weights can end early: PGD accuracy does not recover from a collapse."""
        return self.recipe.keep_best and watch.collapsed(self._watched())

    def _evaluate(self) -> Evaluation:
        kept = self._copy_with(self._kept())
        found = watch.evaluate(kept, self.held_out, self.recipe, self.step, device=self.device, precision=self.precision)
        self.history.append(found)
        if self.recipe.keep_best and watch.as_good_as_its_best(self.history):
            self.best = {name: value.clone() for name, value in self._kept().items()}
        return found

    def _kept(self) -> state.Weights:
        """The weights the run would keep if it ended now."""
        return (self.average.module if self.average else self.network).state_dict()

    def _copy_with(self, weights: Mapping[str, Tensor]) -> nn.Module:
        twin = copy.deepcopy(self.network)
        twin.load_state_dict(weights)
        return twin.eval().requires_grad_(False)

    def _final_model(self) -> nn.Module:
        return self._copy_with(self.best or self._kept()).to("cpu", memory_format=torch.contiguous_format)

    def _save(self) -> None:
        if self.folder is None or self.world.rank:
            return
        moments = {
            index: {name: value for name, value in values.items() if value is not None}
            for index, values in self.optimizer.state_dict()["state"].items()
        }
        average = self.average.module.state_dict() if self.average else {}
        weights = {"model": self.network.state_dict(), "average": average, "best": self.best, "optimizer": moments}
        now = state.State(self.step, self.seconds, self.precision, tuple(self.history), **weights)
        state.save(self.folder, self.recipe, now)

    def _continue_from(self, found: state.State) -> None:
        """Take over a saved state; raises CheckpointError when it does not fit this run."""
        assert self.folder is not None
        model = self.network.state_dict()
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        try:
            if not 0 <= found.step <= self.steps or bool(found.average) != bool(self.average):
                raise ValueError("a state of another run")
            self.network.load_state_dict(state.laid_out_like(found.model, model))
            if self.average:
                self.average.module.load_state_dict(state.laid_out_like(found.average, model))
                self.average.n_averaged.fill_(found.step)
            self.best = state.laid_out_like(found.best, model) if found.best else {}
            moments = state.moments_like(found.optimizer, parameters)
            if found.step and not moments:
                raise ValueError("moments are missing")
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise state.damaged(self.folder) from error
        self.step, self.seconds, self.history = found.step, found.seconds, list(found.history)


def fresh_model(recipe: Recipe, images: data.LabeledImages) -> nn.Module:
    """A model for the images, with weights drawn from the recipe's seed; not yet fitted to the images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return checkpoints.build(recipe, images.shape, len(images.class_names))


def initial_model(recipe: Recipe, images: data.LabeledImages, given: Mapping[str, nn.Module] | None = None) -> nn.Module:
    """The model a run starts from: a fresh one fitted to the images, or with the weights of the recipe's warm start.

    `given` as for `train`. Raises RecipeError when the warm start has another architecture.
    """
    model = fresh_model(recipe, images)
    if recipe.warm_start is None:
        fit_to_images(model, images[:_FITTED].pixels())
    else:
        start = ((given or {}).get(recipe.warm_start) or checkpoints.find(recipe.warm_start).model()).state_dict()
        try:
            model.load_state_dict(start)
        except RuntimeError as error:
            raise RecipeError(
                f"{recipe.warm_start} has another architecture than {recipe.architecture}; choose one of the same."
            ) from error
    return model
