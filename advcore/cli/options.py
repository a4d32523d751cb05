"""What the commands share: the parser, ε on the command line, and the options for attack, device and precision."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from advcore.epsilon import read_epsilon
from advcore.errors import AdvcoreError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from advcore.attacks import Attack
    from advcore.data import LabeledImages
    from advcore.device import Precision
    from advcore.models.checkpoints import Checkpoint

MAX_EPSILONS = 1000


class OptionError(AdvcoreError, argparse.ArgumentTypeError):
    """The value of an option cannot be used; argparse adds the option's name to the message."""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line, and whose options are declared by `add(parser)` only when the command is parsed."""

    def __init__(self, *args: Any, add: Callable[[Parser], None] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._add = add

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, after declaring the options."""
        if self._add:
            add, self._add = self._add, None
            add(self)
        for word in args or ():
            if re.fullmatch(r"--[a-z-]+=(--)?", word):  # argparse would take it for an empty list or path
                self.error(f"{word.split('=')[0]} has no value")
        return super().parse_known_args(args, namespace)

    def add_argument(self, *names: Any, help: str = "", **options: Any) -> Any:
        """As argparse's, but a `%` in the help needs no second one."""
        return super().add_argument(*names, help=help.replace("%", "%%"), **options)

    def error(self, message: str) -> NoReturn:
        """Raise AdvcoreError instead of leaving the program."""
        raise AdvcoreError(f"{message.rstrip('.')}; `{self.prog} --help` shows the options.")


def epsilon(text: str) -> float:
    """As `read_epsilon`; raises OptionError."""
    try:
        return read_epsilon(text)
    except AdvcoreError as error:
        raise OptionError(str(error)) from error


def epsilon_grid(text: str) -> list[float]:
    """`0,0.1,8/255` or `start:stop:step` (stop included) as a list of ε; raises OptionError for anything else."""
    if ":" not in text:
        return [epsilon(part) for part in text.split(",")]
    from advcore.data import even_epsilons

    parts = text.split(":")
    if len(parts) != 3:
        raise OptionError(f"'{text}' is not a range of ε: write start:stop:step, for example 0:0.5:0.025.")
    start, stop, step = (epsilon(part) for part in parts)
    if step <= 0 or stop < start:
        raise OptionError(f"'{text}' is not a range of ε: the step must be above 0, and the stop must not be below the start.")
    if stop - start >= step * MAX_EPSILONS:
        raise OptionError(f"'{text}' is more than {MAX_EPSILONS} values of ε; take a larger step.")
    count = math.floor((stop - start) / step + 1e-9) + 1
    return list(even_epsilons(start + (count - 1) * step, count - 1, start))


def add_device(parser: argparse.ArgumentParser, *, precision: bool = True) -> None:
    """Declare `--device` and, with `precision`, `--precision`."""
    from advcore.device import PRECISIONS

    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    if precision:
        parser.add_argument("--precision", choices=PRECISIONS, help="default: the fastest here")


def add_attack(parser: argparse.ArgumentParser, *, default: str = "fgsm") -> None:
    """Declare `--attack`, and each option of the attacks once."""
    from advcore import attacks

    parser.add_argument("--attack", choices=list(attacks.offered()), default=default)
    options: dict[str, list[tuple[str, attacks.Option]]] = {}
    for name, spec in attacks.offered().items():
        for option in spec.options:
            options.setdefault(option.name, []).append((name, option))
    for name, found in options.items():
        option = found[0][1]
        users = (user if option.default is None else f"{user}: {option.default}" for user, option in found)
        choices = dict.fromkeys(choice for _, each in found for choice in each.choices)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"attack_{name}",
            type=option.type,
            metavar="|".join(choices) or name.upper(),
            help=f"{option.about} (defaults: {', '.join(users)})",
        )


def chosen_device(options: argparse.Namespace) -> tuple[torch.device, Precision]:
    """The device and precision that the options of `add_device` name; under torchrun, those of this process.

    The first process chooses the precision: machines of different speed would otherwise measure in different ones.
    """
    from advcore import distributed
    from advcore.device import fastest_precision, pick_device

    device = distributed.device() or pick_device(options.device)
    return device, options.precision or distributed.from_first(fastest_precision(device.type))


def chosen_attack(options: argparse.Namespace, epsilons: Sequence[float], **more: Any) -> Attack:
    """The attack that the options of `add_attack` describe; raises AttackError when one, or an ε, is out of its range."""
    from advcore import attacks

    given = {name.removeprefix("attack_"): value for name, value in vars(options).items() if name.startswith("attack_")}
    attack = attacks.attack_named(options.attack, **{name: value for name, value in given.items() if value is not None}, **more)
    for value in epsilons:
        attacks.check_epsilon(value, attack.norm)
    return attack


def add_test_image(parser: argparse.ArgumentParser) -> None:
    """Declare `--checkpoint` and `--index`, the model and the test image that `opened` gives."""
    parser.add_argument("--checkpoint", required=True, metavar="ID")
    parser.add_argument("--index", type=int, required=True, help="position in the test split")


def opened(options: argparse.Namespace) -> tuple[Checkpoint, LabeledImages, nn.Module, Tensor]:
    """The checkpoint, its test split, its model and the image (1×C×H×W in [0, 1]) of `add_test_image`, on the device."""
    from advcore import data
    from advcore.device import pick_device
    from advcore.models import checkpoints

    checkpoint = checkpoints.find(options.checkpoint)
    test = data.load(checkpoint.recipe.dataset, "test")
    checkpoint.require(test)
    device = pick_device(options.device)
    return checkpoint, test, checkpoint.model().to(device), one_image(test, options.index).pixels(device)


def one_image(test: LabeledImages, index: int) -> LabeledImages:
    """The test image at that position alone; raises AdvcoreError when there is none."""
    if not 0 <= index < len(test):
        raise AdvcoreError(f"There is no test image {index}; {test.dataset} has 0 to {len(test) - 1} ({test.source}).")
    return test[index : index + 1]


def progress_bar(done: float, label: str) -> None:
    """Show `done` (0 to 1) as a bar on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        width = 30
        filled = round(done * width)
        end = "\n" if done >= 1 else ""
        print(f"\r{label} [{'█' * filled}{'·' * (width - filled)}] {done:4.0%}", end=end, file=sys.stderr, flush=True)
