"""Training: the Recipe that decides a run, the defenses, and one loop that yields its progress.

Data stays on the device as uint8 and is augmented there in batch; every random draw comes from (seed, step), so that a run
resumed at any step goes on exactly as if it had never stopped.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from advcore import data, distributed
from advcore.attacks import FGSM, PGD, Attack, climb, clip, evaluating, input_gradient, uniform_noise
from advcore.device import PRECISIONS, Precision, fastest_precision, keep_freed_memory, pick_device
from advcore.errors import CheckpointError, RecipeError
from advcore.evaluation.curves import accuracy
from advcore.models import checkpoints
from advcore.recipe import Recipe

STATE_FILE = "state.safetensors"
_YIELD_SECONDS = 0.25
_SAVE_SECONDS = 20.0
EVALUATION_STEPS = 10  # PGD steps of the watch on the held-out images
_GAP = 0.3  # how far FGSM accuracy lies above PGD accuracy where it no longer means robustness


@dataclass(frozen=True)
class Evaluation:
    """Held-out accuracies, shares in [0, 1], after `step` steps; FGSM and PGD-10 at `epsilon` in pixel space."""

    step: int
    clean: float
    fgsm: float
    pgd: float
    epsilon: float
    images: int


@dataclass(frozen=True)
class Progress:
    """Where a training stands. `evaluation` is set when one was just made, `model` and `history` once it is finished.

    `precision` is what the steps are computed in; `history` holds every evaluation of the run, in order.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    images_per_second: float
    seconds: float
    seconds_left: float
    evaluation: Evaluation | None = None
    warning: str | None = None
    model: nn.Module | None = field(default=None, repr=False, compare=False)
    precision: Precision = "fp32"
    history: tuple[Evaluation, ...] = ()


@dataclass(frozen=True)
class Step:
    """What a defense gets to turn a batch into losses: the networks, the recipe, and its own random numbers.

    `model` is what losses must go through (it synchronizes gradients between machines); `network` is the same net for
    making attacks.
    """

    model: nn.Module
    network: nn.Module
    recipe: Recipe
    generator: torch.Generator
    teacher: nn.Module | None = None


def overfitting(history: Sequence[Evaluation]) -> str | None:
    """A sentence when the last evaluation shows single-step robustness that PGD does not confirm, else None.

    Catastrophic overfitting (Wong et al. 2020) and label leaking (Kurakin et al. 2017) look alike: FGSM accuracy stays or
    rises while PGD accuracy collapses, because the network reads the single step instead of resisting it.
    """
    if not history or history[-1].fgsm - history[-1].pgd < _GAP:
        return None
    last, best = history[-1], max(item.pgd for item in history)
    figures = f"FGSM {last.fgsm:.0%}, PGD {last.pgd:.0%} at ε = {last.epsilon:.3g}"
    if last.fgsm > last.clean + 0.02:
        return f"FGSM images are easier than clean ones ({figures}): the label is read off the perturbation (label leaking)."
    if collapsed(history):
        return f"PGD accuracy has collapsed from {best:.0%} ({figures}): catastrophic overfitting to the single step."
    return f"The model holds FGSM but not PGD ({figures}): its robustness is masked, not real."


def collapsed(history: Sequence[Evaluation]) -> bool:
    """Whether PGD accuracy has fallen below half its best while FGSM accuracy has not followed."""
    if not history or history[-1].fgsm - history[-1].pgd < _GAP:
        return False
    return history[-1].pgd < 0.5 * max(item.pgd for item in history)


def as_good_as_its_best(history: Sequence[Evaluation]) -> bool:
    """Whether the last PGD accuracy is at most one standard error below the best one so far.

    On a few hundred held-out images a smaller difference is noise, and the clean accuracy of the later weights is higher:
    the one-standard-error rule (Breiman et al. 1984).
    """
    best = max(item.pgd for item in history)
    return history[-1].pgd >= best - math.sqrt(best * (1 - best) / history[-1].images)


# --- defenses: each yields the losses of a batch; the loop backpropagates one before it asks for the next -----------------


def _cross_entropy(step: Step, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(step.model(images).float(), labels, label_smoothing=step.recipe.label_smoothing)


def _with_fgsm(step: Step, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """Half the loss of the clean batch, then half that of its FGSM batch at full ε: the mean over both, concatenated.

    Backpropagating the clean half leaves the gradient on the images as well, so that the attack costs no pass of its own.
    """
    images = images.detach().requires_grad_()
    with distributed.unsynchronized(step.model):
        yield loss(images) / 2
    assert images.grad is not None
    yield loss(clip(images.detach(), images.grad.sign(), step.recipe.epsilon)) / 2


def standard(step: Step, images: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Cross-entropy on the clean batch."""
    yield _cross_entropy(step, images, labels)


def fgsm(step: Step, images: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """The studies' adversarial training (Goodfellow et al. 2015): clean batch and FGSM batch, equally weighted."""
    yield from _with_fgsm(step, images, lambda batch: _cross_entropy(step, batch, labels))


def fgsm_rs(step: Step, images: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Wong et al. 2020: cross-entropy on FGSM images from a random start, step 1.25 ε."""
    yield _cross_entropy(step, _climbed(step, images, labels, 1, step.recipe.step_size or 1.25 * step.recipe.epsilon), labels)


def pgd(step: Step, images: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Madry et al. 2018: cross-entropy on PGD images from a random start."""
    yield _cross_entropy(step, _climbed(step, images, labels, step.recipe.attack_steps, _step_size(step.recipe)), labels)


def trades(step: Step, images: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Zhang et al. 2019: cross-entropy on clean images + β · KL(clean answer ‖ attacked answer), which the attack climbs."""
    with evaluating(step.network):  # detached, not no_grad: autocast would keep weights cast without a gradient
        clean = step.network(images).float().softmax(1).detach()

    def gradient(attacked: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = attacked.detach().requires_grad_()
            distance = F.kl_div(step.network(leaf).float().log_softmax(1), clean, reduction="sum")
            return torch.autograd.grad(distance, leaf)[0]

    recipe = step.recipe
    with evaluating(step.network):
        start = uniform_noise(images, min(0.001, recipe.epsilon), step.generator)
        attacked = climb(gradient, images, recipe.epsilon, _step_size(recipe), recipe.attack_steps, start)
    logits, pushed = step.model(torch.cat([images, attacked])).float().chunk(2)
    yield trades_loss(logits, pushed, labels, recipe.trades_beta, recipe.label_smoothing)


def trades_loss(clean: Tensor, attacked: Tensor, labels: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """cross-entropy(clean) + β · KL(softmax(clean) ‖ softmax(attacked)), means over the batch; logits N×K, labels N."""
    distance = F.kl_div(attacked.log_softmax(1), clean.softmax(1), reduction="batchmean")
    return F.cross_entropy(clean, labels, label_smoothing=label_smoothing) + beta * distance


def distill(step: Step, images: Tensor, labels: Tensor) -> Iterator[Tensor]:
    """Papernot et al. 2016 (arXiv 1511.04508): learn the teacher's answers at a high temperature; ε > 0 adds FGSM images."""
    with torch.no_grad():
        assert step.teacher is not None
        taught = step.teacher(images.detach()).float()

    def loss(batch: Tensor) -> Tensor:
        return distillation_loss(step.model(batch).float(), taught, step.recipe.temperature)

    if step.recipe.epsilon:
        yield from _with_fgsm(step, images, loss)
    else:
        yield loss(images)


def distillation_loss(logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Cross-entropy between softmax(taught / T) and softmax(logits / T), mean over the batch; both N×K."""
    return F.cross_entropy(logits / temperature, (taught / temperature).softmax(1))


def _step_size(recipe: Recipe) -> float:
    return recipe.step_size or 2.5 * recipe.epsilon / recipe.attack_steps


def _climbed(step: Step, images: Tensor, labels: Tensor, steps: int, size: float) -> Tensor:
    """The batch after `steps` sign steps of `size` from a random start."""
    start = uniform_noise(images, step.recipe.epsilon, step.generator)
    return climb(
        lambda attacked: input_gradient(step.network, attacked, labels), images, step.recipe.epsilon, size, steps, start
    )


LOSSES: dict[str, Callable[[Step, Tensor, Tensor], Iterator[Tensor]]] = {
    "standard": standard,
    "fgsm": fgsm,
    "fgsm_rs": fgsm_rs,
    "pgd": pgd,
    "trades": trades,
    "distill": distill,
}
"""A new defense is one function here and its name in `recipes.DEFENSES`."""


# --- augmentation, schedule ----------------------------------------------------------------------------------------------


def augment(images: Tensor, steps: Sequence[str], generator: torch.Generator) -> Tensor:
    """Randomly flipped, rotated (up to 15°) and shifted (up to an eighth, zeros drawn in) float images N×C×H×W."""
    count, device = len(images), images.device

    def draw() -> Tensor:
        return torch.empty(count, device=generator.device).uniform_(-1, 1, generator=generator).to(device)

    if "flip" in steps:
        images = torch.where((draw() > 0)[:, None, None, None], images.flip(3), images)
    if not {"rotate", "crop"} & set(steps):
        return images
    angle = draw() * (math.pi / 12) if "rotate" in steps else torch.zeros(count, device=device)
    shift = [draw() / 4 if "crop" in steps else torch.zeros(count, device=device) for _ in range(2)]
    if "crop" in steps and "rotate" not in steps:  # whole pixels, so that nothing is blurred
        shift = [torch.round(part * size / 2) * 2 / size for part, size in zip(shift, images.shape[:1:-1], strict=True)]
    ratio = images.shape[2] / images.shape[3]
    rows = [
        torch.stack([angle.cos(), -angle.sin() * ratio, shift[0]], 1),
        torch.stack([angle.sin() / ratio, angle.cos(), shift[1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate at a step: constant; cosine to zero; or cyclic, up for 30 % and down to zero (Smith 2017)."""
    done = step / max(steps, 1)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.schedule == "cyclic":
        return recipe.learning_rate * (done / 0.3 if done < 0.3 else (1 - done) / 0.7)
    return recipe.learning_rate


def _optimizer(recipe: Recipe, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    fused = device.type in {"cpu", "cuda"}
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused)
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
        fused=fused,
    )


# --- the loop ------------------------------------------------------------------------------------------------------------


def train(
    recipe: Recipe,
    *,
    images: data.LabeledImages | None = None,
    device: torch.device | None = None,
    precision: Precision | None = None,
    folder: Path | None = None,
) -> Iterator[Progress]:
    """Carry out a recipe, yielding progress a few times a second; the last Progress holds the finished model (fp32, CPU).

    `images` is the training split (loaded by name if left out). With `folder`, the state is saved there every 20 s, at every
    evaluation, at the end and when the iterator is closed; a run that finds its own state there goes on from it, with the
    same result as if it had never stopped (in the precision it began with, unless told another). Under torchrun each process
    takes its share of every batch and rank 0 saves.
    Raises RecipeError when the folder holds another run's state or the loss is no longer finite, CheckpointError when the
    state is damaged or a teacher takes other images, DataError without data.
    """
    keep_freed_memory()
    images = images or data.load(recipe.dataset, "train", limit=recipe.images)
    yield from Trainer(recipe, images, device, precision, folder).run()


class Trainer:
    """One run: the model, its optimizer and the data, all on the device. `run` carries it out, `advance` is one step of it."""

    def __init__(
        self,
        recipe: Recipe,
        images: data.LabeledImages,
        device: torch.device | None,
        precision: Precision | None,
        folder: Path | None,
    ) -> None:
        self.recipe, self.folder = recipe, folder
        self.world = distributed.world()
        self.device = device or distributed.device() or pick_device()
        self.asked, self.precision = precision, precision or fastest_precision(self.device.type)
        train_images, self.held_out = split_held_out(images, recipe)
        self.images, self.labels = train_images.images.to(self.device), train_images.labels.to(self.device)
        self.network = initial_model(recipe, images).to(self.device, memory_format=torch.channels_last)
        self.model = distributed.wrap(self.network, self.device)
        self.optimizer = _optimizer(recipe, self.network, self.device)
        self.teacher = self._teacher(images)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()} if recipe.averaging else {}
        self.best: dict[str, Tensor] = {}
        self.history: list[Evaluation] = []
        self.step, self.seconds = 0, 0.0
        # The last, smaller batch is dropped, unless it is the only one.
        self.steps_per_epoch = max(1, len(self.images) // recipe.batch_size)
        self.steps = self.steps_per_epoch * recipe.epochs
        self.order = (-1, torch.empty(0, dtype=torch.int64))
        if min(recipe.batch_size, len(self.images)) < self.world.size:
            raise RecipeError(f"A batch of {recipe.batch_size} cannot be shared by {self.world.size} processes; enlarge it.")
        self._restore()

    def _teacher(self, images: data.LabeledImages) -> nn.Module | None:
        if self.recipe.teacher is None:
            return None
        teacher = checkpoints.find(self.recipe.teacher)
        teacher.require(images)
        return teacher.model().to(self.device, memory_format=torch.channels_last)

    def run(self) -> Iterator[Progress]:
        """Every step from where the run stands to its end."""
        began, first, earlier = time.perf_counter(), self.step, self.seconds
        shown, saved = 0.0, began
        due = self._evaluation_steps()
        try:
            while self.step < self.steps and not self._spent():
                loss = self.advance()
                now = time.perf_counter()
                evaluate, save = self.step in due, self.step in due or now - saved > _SAVE_SECONDS
                if not (save or now - shown > _YIELD_SECONDS or self.step == first + 1):
                    continue
                value = float(loss)
                if not math.isfinite(value):
                    raise RecipeError("The training diverged: its loss is no longer a number; lower the learning rate.")
                evaluation = self._evaluate() if evaluate else None
                shown = time.perf_counter()
                self.seconds = earlier + shown - began
                if save:
                    self._save()
                    saved = time.perf_counter()
                yield self._progress(value, (shown - began) / (self.step - first), evaluation)
        except GeneratorExit:  # closed between two steps: the state is whole
            self._save()
            raise
        self._save()
        yield self._finished()

    def _spent(self) -> bool:
        """Whether a run that keeps its best weights has nothing left to gain: a collapse does not mend."""
        return self.recipe.keep_best and collapsed(self.history)

    def _finished(self) -> Progress:
        rate = self.step * self._batch_images() / self.seconds if self.seconds else 0.0
        warning = None
        if self._spent():
            best = max(item.pgd for item in self.history)
            warning = f"Ended at step {self.step} of {self.steps}: PGD accuracy collapsed; earlier weights ({best:.0%}) stay."
        epoch = (self.step - 1) // self.steps_per_epoch + 1
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=epoch,
            loss=math.nan,
            images_per_second=rate,
            seconds=self.seconds,
            seconds_left=0.0,
            warning=warning,
            model=self._final_model(),
            precision=self.precision,
            history=tuple(self.history),
        )

    def _progress(self, loss: float, per_step: float, evaluation: Evaluation | None) -> Progress:
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=(self.step - 1) // self.steps_per_epoch + 1,
            loss=loss,
            images_per_second=self._batch_images() / per_step,
            seconds=self.seconds,
            seconds_left=per_step * (self.steps - self.step),
            evaluation=evaluation,
            warning=overfitting(self.history) if evaluation else None,
            precision=self.precision,
        )

    def _batch_images(self) -> int:
        return min(self.recipe.batch_size, len(self.images))

    def _evaluation_steps(self) -> set[int]:
        count = min(self.recipe.evaluations, self.steps) if len(self.held_out) else 0
        return {round(self.steps * (index + 1) / count) for index in range(count)}

    def _batch(self) -> tuple[Tensor, Tensor, float]:
        """This process's share of the step's batch, and its weight beside the others'."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self.order[0] != epoch:  # from the seed and the epoch alone, so that any step can be taken up again
            generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + epoch)
            self.order = (epoch, torch.randperm(len(self.images), generator=generator).to(self.device))
        size = self.recipe.batch_size
        whole = self.order[1][position * size : (position + 1) * size]
        mine = whole[self.world.rank :: self.world.size]
        return self.images[mine].float().div_(255), self.labels[mine], len(mine) * self.world.size / len(whole)

    def advance(self) -> Tensor:
        """Train on the batch whose turn it is; the batch's loss, still on the device."""
        recipe = self.recipe
        images, labels, weight = self._batch()
        draw = (recipe.seed * 1_000_003 + self.step) * self.world.size + self.world.rank
        torch.manual_seed(draw)  # dropout draws from the global generator
        step = Step(self.model, self.network, recipe, torch.Generator(self.device).manual_seed(draw), self.teacher)
        images = augment(images, recipe.augment, step.generator) if recipe.augment else images
        images = images.contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.step, self.steps)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            for loss in LOSSES[recipe.defense](step, images, labels):
                (loss if weight == 1 else loss * weight).backward()
                total += loss.detach()
        self.optimizer.step()
        self.step += 1
        if self.average:
            with torch.no_grad():
                for name, value in self.network.state_dict().items():
                    _blend(self.average[name], value, recipe.averaging)
        return total

    @torch.no_grad()
    def _kept(self) -> dict[str, Tensor]:
        """The weights the run would keep if it ended now."""
        return self.average or self.network.state_dict()

    def _copy_with(self, weights: Mapping[str, Tensor]) -> nn.Module:
        twin = copy.deepcopy(self.network)
        twin.load_state_dict(weights)
        return twin.eval().requires_grad_(False)

    def _evaluate(self) -> Evaluation:
        """Clean, FGSM and PGD-10 accuracy on the held-out images, at the recipe's ε or else the dataset's."""
        kept = self._copy_with(self._kept())
        epsilon = self.recipe.epsilon or watch_epsilon(self.recipe.dataset)
        watched = ((FGSM(), 0.0), (FGSM(), epsilon), (PGD(steps=EVALUATION_STEPS), epsilon))
        clean, fgsm, pgd = (self._held_out_accuracy(kept, attack, budget) for attack, budget in watched)
        found = Evaluation(self.step, clean, fgsm, pgd, epsilon, len(self.held_out))
        self.history.append(found)
        if self.recipe.keep_best and as_good_as_its_best(self.history):
            self.best = {name: value.clone() for name, value in self._kept().items()}
        return found

    def _held_out_accuracy(self, model: nn.Module, attack: Attack, epsilon: float) -> float:
        """The share of the held-out images the model gets right; each process counts its own."""
        mine = self.held_out[self.world.rank :: self.world.size]
        share = accuracy(model, mine, attack, epsilon, device=self.device, precision=self.precision) if len(mine) else 0.0
        return sum(distributed.gather(round(share * len(mine)))) / len(self.held_out)

    def _final_model(self) -> nn.Module:
        final = self._copy_with(self.best or self._kept())
        return final.to("cpu", memory_format=torch.contiguous_format)

    # --- state: saved whole or not at all, and read without unpickling

    def _state(self) -> dict[str, Tensor]:
        groups = {"model": self.network.state_dict(), "average": self.average, "best": self.best}
        tensors = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items() if value is not None}
        return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def _save(self) -> None:
        if self.folder is None or self.world.rank:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "recipe": self.recipe.to_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "precision": self.precision,
            "history": [asdict(item) for item in self.history],
        }
        checkpoints.write_safetensors(self.folder / STATE_FILE, self._state(), {"training": json.dumps(facts)})

    def _restore(self) -> None:
        """Go on from the folder's state, if it holds one of this recipe; the first process reads it for all."""
        path = None if self.folder is None else self.folder / STATE_FILE
        found = checkpoints.read_safetensors(path) if path and self.world.rank == 0 and path.exists() else None
        found = distributed.from_first(found)
        if path is None or found is None:
            return
        tensors, metadata = found
        facts = _facts(path, metadata)
        if facts["recipe"] != self.recipe.to_dict():
            raise RecipeError(f"{path.parent} holds the state of another recipe; choose another folder or delete that one.")
        try:
            self._take_over(tensors, facts)
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
            raise _damaged(path) from error

    def _take_over(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        if not 0 <= self.step <= self.steps:
            raise ValueError("a step outside the run")
        if facts["precision"] not in PRECISIONS:
            raise ValueError("no precision")
        # Which one is faster is measured, and two measurements can differ: a run keeps to the one it began with.
        self.precision = self.asked or facts["precision"]
        self.history = [Evaluation(**{name: float(value) for name, value in item.items()}) for item in facts["history"]]
        model = self.network.state_dict()
        self.network.load_state_dict(_alike(_part(tensors, "model"), model))
        for group in ("average", "best"):
            values = _part(tensors, group)
            setattr(self, group, _alike(values, model) if values else {})
        if bool(self.average) != bool(self.recipe.averaging):
            raise ValueError("no running average")
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": self._moments(tensors)})

    def _moments(self, tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        """The optimizer's memory of each parameter, laid out in memory like the parameter: fused steps rely on that."""
        found: dict[int, dict[str, Tensor]] = {}
        parameters = list(self.network.parameters())
        for name, value in _part(tensors, "optimizer").items():
            index, key = name.split(".", 1)
            parameter = parameters[int(index)]
            if value.dim() and value.shape != parameter.shape:
                raise ValueError("a moment of another shape")
            found.setdefault(int(index), {})[key] = torch.empty_like(parameter).copy_(value) if value.dim() else value
        if self.step and len(found) != len(parameters):
            raise ValueError("moments are missing")
        return found


def state_step(folder: Path) -> int:
    """How many steps the state saved in `folder` has behind it, from the file's header alone; 0 when there is none.

    Raises CheckpointError when the file is damaged.
    """
    path = folder / STATE_FILE
    return int(_facts(path, checkpoints.read_metadata(path))["step"]) if path.exists() else 0


def _facts(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What a state's header says of the run."""
    try:
        facts = json.loads(metadata["training"])
        if not {"recipe", "step", "seconds", "precision", "history"} <= set(facts) or not isinstance(facts["step"], int):
            raise ValueError
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path) from error
    return facts


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} does not hold the state of this training; delete it to start again from the beginning.")


def _alike(values: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`values` with the places, types and memory layouts of the model's own; raises when names or shapes differ."""
    if values.keys() != model.keys() or any(values[name].shape != tensor.shape for name, tensor in model.items()):
        raise ValueError("weights of another network")
    return {name: torch.empty_like(tensor).copy_(values[name]) for name, tensor in model.items()}


def _part(tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    return {name.split(".", 1)[1]: value for name, value in tensors.items() if name.startswith(f"{group}.")}


def _blend(average: Tensor, value: Tensor, decay: float) -> None:
    """Move a running average toward `value`; counters are copied."""
    if average.is_floating_point():
        average.lerp_(value, 1 - decay)
    else:
        average.copy_(value)


def watch_epsilon(dataset: str) -> float:
    """The ε at which an undefended training is watched: the dataset's own."""
    return data.dataset(dataset).epsilon


def trained_on(count: int, recipe: Recipe) -> int:
    """How many of `count` images are left to train on; raises RecipeError when all are held out."""
    left = count - recipe.held_out
    if left <= 0:
        raise RecipeError(f"{recipe.held_out} of {count} images held out leave none to train on; hold out fewer.")
    return left


def split_held_out(images: data.LabeledImages, recipe: Recipe) -> tuple[data.LabeledImages, data.LabeledImages]:
    """(to train on, held out): the recipe's first `images`, of which a fixed random `held_out` are kept apart."""
    images = images[: recipe.images]
    trained_on(len(images), recipe)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[recipe.held_out :]], images[order[: recipe.held_out]]


def initial_model(recipe: Recipe, images: data.LabeledImages) -> nn.Module:
    """The model a run starts from: the warm start's weights, else fresh ones drawn with the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = checkpoints.build(recipe, images.shape, len(images.class_names))
    if recipe.warm_start is not None:
        start = checkpoints.find(recipe.warm_start).model().state_dict()
        try:
            model.load_state_dict(start)
        except RuntimeError as error:
            raise RecipeError(
                f"{recipe.warm_start} has another architecture than {recipe.architecture}; start from one alike."
            ) from error
    return model
