"""The optimizers, their learning rates, and the running average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from advcore.recipe import Recipe

# Muon's published values for CIFAR-10 (cifar10-airbench, airbench94_muon), for the mean loss of a batch of 2,000: the rates
# of normalization biases and of the last linear layer are 0.053 · 2,000 and 0.67 · 2,000 · (9 / 256)² (its logits are scaled
# by 1/9 here and by 1/256 there) beside 0.24 for the filters.
_BIAS_RATE, _LINEAR_RATE = 442.0, 6.9
_FILTER_MOMENTUM, _MOMENTUM = 0.6, 0.85
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over the parameters of the model that are trained."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if recipe.optimizer == "muon":
        return Muon(trained, recipe.learning_rate, recipe.weight_decay)
    options = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    options["fused"] = trained[0].device.type in {"cpu", "cuda"}
    if recipe.optimizer == "adam":
        return torch.optim.Adam(trained, **options)
    return torch.optim.SGD(trained, momentum=0.9, nesterov=True, **options)


def set_learning_rate(optimizer: torch.optim.Optimizer, schedule: str, done: float) -> None:
    """Give each group of parameters its own first rate times the schedule's factor, after the share `done` of all steps."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor(schedule, done)


def factor(schedule: str, done: float) -> float:
    """Constant; cosine or linear to zero; or cyclic, up for 30 % of the steps and down to zero (Smith 2017)."""
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "linear":
        return 1 - done
    if schedule == "cyclic":
        return done / 0.3 if done < 0.3 else (1 - done) / 0.7
    return 1.0


def running_average(model: nn.Module, decay: float) -> AveragedModel:
    """The exponential average of the model's weights and batch statistics; counters are copied.

    The first update takes the weights as they are, and the t-th later one decays by min(decay, (1 + t) / (10 + t)): a short
    run soon forgets its random start.
    """

    def blend(average: Tensor, value: Tensor, updates: Tensor) -> Tensor:
        if not average.is_floating_point():
            return value
        return value.lerp(average, ((1 + updates) / (10 + updates)).clamp(max=decay).to(value))

    return AveragedModel(model, avg_fn=blend, use_buffers=True)


def orthogonalized(matrix: Tensor, steps: int = 3) -> Tensor:
    """About U·Vᵀ of the matrix R×C = U·S·Vᵀ: its singular values brought near 1 by a quintic Newton-Schulz iteration."""
    a, b, c = _NEWTON_SCHULZ
    tall = len(matrix) > matrix.shape[1]
    found = matrix.T if tall else matrix
    found = found / (found.norm() + 1e-7)
    for _ in range(steps):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.T if tall else found


class Muon(torch.optim.Optimizer):
    """Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/): steps along orthogonalized gradients.

    Filters O×I×h×w take such steps and are rescaled to the norm √O; all other parameters (biases, linear layers) take Nesterov
    momentum. `lr` is the rate of the filters (0.24 for batches of 2,000). `weight_decay` is the share by which a step at the
    full rate shrinks the other parameters.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0) -> None:
        kinds: dict[int, list[nn.Parameter]] = {4: [], 1: [], 2: []}
        for parameter in parameters:
            kinds[parameter.dim()].append(parameter)
        rates = {4: lr, 1: lr * _BIAS_RATE, 2: lr * _LINEAR_RATE}
        groups = [
            {
                "params": found,
                "lr": rates[dims],
                "momentum": _FILTER_MOMENTUM if dims == 4 else _MOMENTUM,
                "weight_decay": 0.0 if dims == 4 else weight_decay / rates[dims],
            }
            for dims, found in kinds.items()
            if found
        ]
        super().__init__(groups, {"lr": lr, "momentum": 0.0, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every weight that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"], group["momentum"], group["weight_decay"])

    def _move(self, weight: Tensor, gradient: Tensor, rate: float, momentum: float, decay: float) -> None:
        gradient = gradient.add(weight, alpha=decay) if decay else gradient
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        state["momentum_buffer"].mul_(momentum).add_(gradient)
        update = gradient.add(state["momentum_buffer"], alpha=momentum)
        if weight.dim() == 4:
            update = orthogonalized(update.reshape(len(update), -1)).view(update.shape)
            weight.mul_(len(weight) ** 0.5 / weight.norm())
        weight.add_(update, alpha=-rate)
