"""What people may do: everything on their own machine, and within limits on a server that is open to anybody.

`ADVCORE_PUBLIC=1` makes a server public. Whatever starts, lists, changes or shows something asks for the rules of the person
at the page (`ui.visitor.rules`). All limits of a visitor are in `TRAINING` and `VISITOR`; `table()` is the README's table.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from advcore.errors import LimitError

GIB, MIB = 1 << 30, 1 << 20


@dataclass(frozen=True)
class Rate:
    """How often one visitor may do something within `seconds`; all of them together `SHARE` times as often.

    `words` name what is counted, in the plural.
    """

    times: int
    seconds: int
    words: str

    @property
    def text(self) -> str:
        """For example `12 in an hour`."""
        units = {60: "a minute", 3600: "an hour"}
        return f"{self.times} in {units.get(self.seconds) or f'{self.seconds // 60} minutes'}"


SHARE = 20


@dataclass(frozen=True)
class Training:
    """What the trainings of a visitor may take. `operations` are floating-point operations, as `estimate.work` counts them."""

    operations: float = 3e14
    weights: int = 12_000_000
    batch: int = 512
    minutes: int = 30
    memory: int = 4 * GIB
    disk: int = 512 * MIB
    disk_together: int = 8 * GIB
    unfinished: int = 2
    waiting_together: int = 20
    hours_kept: int = 24


TRAINING = Training()


@dataclass(frozen=True)
class Rules:
    """What somebody may do. An action without an entry in `rates` may be done any number of times."""

    everything: bool = True
    """Sees and changes every training and every model, not only their own; and trains without the limits of `TRAINING`."""
    machine: bool = True
    """Sees the device, the folders and the logs of the server."""
    imports: bool = True
    downloads: bool = True
    studies: bool = True
    """Measures a study of the Papers page again, and trains its models."""
    rates: Mapping[str, Rate] = field(default_factory=dict)
    check_seconds: float = float("inf")
    """How long the ten checks of a model go on after their page was closed."""


FREE = Rules()
"""On one's own machine, and for the host of a public server."""
VISITOR = Rules(
    everything=False,
    machine=False,
    imports=False,
    downloads=False,
    studies=False,
    rates={
        "picture": Rate(30, 60, "pictures"),
        "whole picture": Rate(12, 60, "attacks on whole pictures"),
        "estimate": Rate(12, 60, "estimates"),
        "check": Rate(6, 600, "checks of models"),
        "import": Rate(5, 600, "imports"),
        "training": Rate(12, 3600, "trainings"),
        "token": Rate(5, 60, "attempts to open the host's view"),
    },
    check_seconds=600.0,
)


def public() -> bool:
    """Whether this server is open to anybody: `$ADVCORE_PUBLIC` is set, and not 0."""
    return os.environ.get("ADVCORE_PUBLIC", "0") not in {"", "0"}


def visitor() -> Rules:
    """The rules for visitors of this server: `$ADVCORE_PUBLIC_ALLOW` may name `imports`, `downloads` or both."""
    allowed = os.environ.get("ADVCORE_PUBLIC_ALLOW", "").replace(",", " ").split()
    return replace(VISITOR, imports="imports" in allowed, downloads="downloads" in allowed)


class Counts:
    """How often each visitor, and all of them together, did something lately."""

    _MOST = 5000

    def __init__(self) -> None:
        self.times: dict[tuple[str, str], deque[float]] = {}

    def spend(self, rules: Rules, who: str, kind: str, now: float) -> None:
        """Count one action of the visitor `who` at `now` (seconds); raises LimitError when they, or all, did it too often."""
        rate = rules.rates.get(kind)
        if rate is None:
            return
        mine, all_ = self.times.setdefault((who, kind), deque()), self.times.setdefault(("", kind), deque())
        for times, most in ((mine, rate.times), (all_, rate.times * SHARE)):
            while times and times[0] <= now - rate.seconds:
                times.popleft()
            if len(times) >= most:
                wait = max(1, round(times[0] + rate.seconds - now))
                often = rate.text.replace(" in ", f" {rate.words} in ")
                told = f"allows a visitor {often}" if times is mine else f"has too many visitors at once for more {rate.words}"
                raise LimitError(f"This server {told}; try again in {wait} s.")
        mine.append(now)
        all_.append(now)
        if len(self.times) > self._MOST:
            longest = max(rate.seconds for rate in rules.rates.values())
            self.times = {key: times for key, times in self.times.items() if times and times[-1] > now - longest}


def in_a_line() -> str:
    """What a visitor should know before a training."""
    return (
        f"Here a training takes at most {TRAINING.minutes} minutes; one of yours runs, and one can wait. "
        f"Only this browser sees them, for {TRAINING.hours_kept} hours."
    )


def table() -> str:
    """What one can do in each mode, as a Markdown table."""
    of, free, rate = TRAINING, "no limit", {kind: rate.text for kind, rate in VISITOR.rates.items()}
    size = f"{of.operations / 1e12:.0f} trillion operations, {of.minutes} minutes, {of.memory // GIB} GiB of memory"
    rows = [
        ("", "one's own machine", "visitor", "host"),
        ("trainings to see, stop, delete", "all", "their own", "all"),
        ("models to see, rename, delete", "all", "the shipped ones to see; their own", "all"),
        ("how many trainings", free, f"1 runs, {of.unfinished - 1} waits; {rate['training']}", free),
        ("how many wait", free, f"{of.waiting_together} of all visitors", free),
        ("how large one is", free, size, free),
        ("its network", free, f"{of.weights / 1e6:.0f} million weights, batches of {of.batch} images", free),
        ("disk", free, f"{of.disk // MIB} MiB; {of.disk_together // GIB} GiB for all visitors", free),
        ("kept", "until deleted", f"{of.hours_kept} hours", "until deleted"),
        ("importing models", "yes", f"no; with `ADVCORE_PUBLIC_ALLOW=imports` {rate['import']}", "yes"),
        ("fetching data sets and weights", "yes", "no; yes with `ADVCORE_PUBLIC_ALLOW=downloads`", "yes"),
        ("measuring a study again", "yes", "no", "yes"),
        ("the ten checks of a model", free, f"one at a time, {rate['check']}", free),
        ("uploading pictures", free, rate["picture"], free),
        ("attacking a whole picture", free, rate["whole picture"], free),
        ("estimating a training's time", free, rate["estimate"], free),
        ("device, folders and logs", "shown", "hidden", "shown"),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---|---|---|---|", *lines[1:]])
