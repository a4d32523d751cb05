"""The commands of `python -m advcore`. Bad input is one sentence on stderr and exit code 2."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import torch

from advcore import attacks, data, distributed
from advcore.cli import papers
from advcore.device import PRECISIONS, Precision, describe, fastest_precision, pick_device
from advcore.errors import AdvcoreError
from advcore.evaluation import single
from advcore.evaluation.curves import RobustnessCurve, robustness_curve
from advcore.images import decode, encode
from advcore.jobs import queue
from advcore.models import checkpoints, pretrained
from advcore.photos.attack import attack_own, crop_from
from advcore.photos.framing import frame
from advcore.recipe import Recipe
from advcore.training import measure, shipped
from advcore.training.loop import train

MAX_EPSILONS = 1000
_BUDGETS = ("epsilon", "step_size")  # the recipe's fields that are written as every ε is


class _Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise AdvcoreError(f"{message}; `{self.prog} --help` shows what there is.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        options = _parser().parse_args(arguments)
        return options.run(options) or 0
    except AdvcoreError as error:
        print("advcore:", *str(error).split(), file=sys.stderr)  # one line, whatever name the message quotes
        return 2
    except BrokenPipeError:
        return 1
    except OSError as error:
        print(f"advcore: {error.filename or 'A file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not distributed.several():
            raise
        print(f"advcore: this process lost the others ({str(error).splitlines()[0][:160]}).", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("advcore: stopped.", file=sys.stderr)
        return 130
    finally:
        distributed.close()


def _parser() -> _Parser:
    parser = _Parser(prog="python -m advcore", description="Adversarial examples: attack, measure, defend.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    curve = commands.add_parser("curve", help="accuracy against ε")
    curve.add_argument("--checkpoint", nargs="+", required=True, metavar="ID")
    _attack_options(curve)
    curve.add_argument("--epsilons", default="0:0.5:0.05", help="0,0.1,0.3 or 0,6/255,8/255 or start:stop:step, in pixel space")
    curve.add_argument("--limit", type=int, metavar="N", help="only the first N test images")
    curve.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    _device_options(curve)
    curve.set_defaults(run=_curve)

    attack = commands.add_parser("attack", help="attack one image and write the pictures")
    attack.add_argument("--checkpoint", required=True, metavar="ID")
    which = attack.add_mutually_exclusive_group(required=True)
    which.add_argument("--index", type=int, help="position in the test split")
    which.add_argument("--image", type=Path, metavar="FILE", help="a picture of your own")
    attack.add_argument("--epsilon", required=True, help="in pixel space: 0.1 or 8/255")
    attack.add_argument("--target", metavar="CLASS", help="the class to move toward, by name or number")
    attack.add_argument("--out", type=Path, required=True, metavar="DIR")
    _own_image_options(attack)
    _attack_options(attack)
    _device_option(attack)
    attack.set_defaults(run=_attack)

    photos = commands.add_parser("pretrained", help="torchvision's ImageNet models for pictures of your own")
    photos.add_argument("--download", metavar="ID", help="fetch a model's weights into torch hub's cache")
    photos.set_defaults(run=_pretrained)

    fetch = commands.add_parser("data", help="which datasets are here, and from where")
    fetch.add_argument("--download", metavar="NAME", help="fetch a dataset into the data folder")
    fetch.set_defaults(run=_data)

    listing = commands.add_parser("checkpoints", help="the models and their figures")
    listing.add_argument("--json", action="store_true")
    listing.add_argument("--rebuild", nargs="?", const="*", metavar="PATTERN", help="train the shipped ones that are missing")
    listing.set_defaults(run=_checkpoints)

    papers.add(commands, _Parser)

    training = commands.add_parser("train", help="carry out a recipe", argument_default=argparse.SUPPRESS)
    training.add_argument("--recipe", type=Path, metavar="FILE", help="a recipe as JSON; options below override it")
    for item in fields(Recipe):
        training.add_argument(f"--{item.name.replace('_', '-')}", **_recipe_argument(item.name, str(item.type)))
    training.add_argument("--out", type=Path, metavar="FILE", help="where the checkpoint goes (default: among your own)")
    training.add_argument("--job", type=Path, metavar="DIR", help="carry out the job in that folder, as the app does")
    training.add_argument("--folder", type=Path, metavar="DIR", help="where the state of the run is kept")
    training.add_argument("--pgd", default="20-1", metavar="STEPS-RESTARTS", help="the PGD of the final figures")
    _device_options(training)
    training.set_defaults(run=_train)
    return parser


def _own_image_options(parser: argparse.ArgumentParser) -> None:
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="with --image: attack what the model sees of it (the default)")
    size.add_argument("--full", action="store_true", help="with --image: attack the whole picture, at its own size")
    parser.add_argument("--crop", metavar="LEFT,TOP,WIDTH,HEIGHT", help="with --image: the part to look at, in its pixels")
    parser.add_argument(
        "--invert", action=argparse.BooleanOptionalAction, default=None, help="with --image: dark is ink (default: found out)"
    )
    parser.add_argument("--plain", action="store_true", help="with --image: take digits as they are, do not look for ink")


def _attack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--attack", choices=list(attacks.ATTACKS), default="fgsm")
    parser.add_argument("--steps", type=int, default=20, help="steps of PGD")
    parser.add_argument("--restarts", type=int, default=1, help="restarts of PGD")
    parser.add_argument("--seed", type=int, default=0)


def _device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default=None, help="cpu, cuda, cuda:1, mps (default: the best there is)")


def _device_options(parser: argparse.ArgumentParser) -> None:
    _device_option(parser)
    parser.add_argument("--precision", choices=PRECISIONS, default=None, help="default: the fastest here")


def _recipe_argument(name: str, kind: str) -> dict[str, Any]:
    """How a field of the recipe is read from the command line."""
    if name in _BUDGETS:
        return {"help": "in pixel space: 0.1 or 8/255"}
    if kind == "bool":
        return {"action": "store_true"}
    if kind.startswith("tuple"):
        return {"nargs": "*"}
    return {"type": int if kind.startswith("int") else float if kind.startswith("float") else str}


def _epsilon(text: str) -> float:
    """0.1 or 8/255."""
    try:
        above, _, below = text.partition("/")
        return attacks.check_epsilon(float(above) / float(below or 1))
    except (ValueError, ZeroDivisionError) as error:
        raise AdvcoreError(f"'{text}' is no ε: write a number between 0 and 1 such as 0.1 or 8/255.") from error


def epsilon_grid(text: str) -> list[float]:
    """`0,0.1,8/255` or `start:stop:step` (stop included) as a list of ε; raises AdvcoreError when it is neither."""
    if ":" not in text:
        return [_epsilon(part) for part in text.split(",")]
    parts = text.split(":")
    if len(parts) != 3:
        raise AdvcoreError(f"'{text}' is no range of ε: write start:stop:step, for example 0:0.5:0.025.")
    start, stop, step = (_epsilon(part) for part in parts)
    if step <= 0 or stop < start:
        raise AdvcoreError(f"'{text}' is no range of ε: the step must be above 0 and the stop not below the start.")
    if stop - start >= step * MAX_EPSILONS:
        raise AdvcoreError(f"'{text}' are more than {MAX_EPSILONS} values of ε; take a larger step.")
    count = math.floor((stop - start) / step + 1e-9) + 1
    return [round(start + index * step, 10) for index in range(count)]


# --- curve ---------------------------------------------------------------------------------------------------------------


def _curve(options: argparse.Namespace) -> None:
    epsilons = epsilon_grid(options.epsilons)
    chosen = [checkpoints.find(checkpoint_id) for checkpoint_id in options.checkpoint]
    attack = attacks.attack_named(options.attack, steps=options.steps, restarts=options.restarts, seed=options.seed)
    found = []
    for checkpoint in chosen:
        result = _one_curve(checkpoint, attack, epsilons, options)
        found.append(result)
        if not options.json and not distributed.world().rank:
            _print_curve(result)
    if options.json and not distributed.world().rank:
        print(json.dumps({"results": found}))


def _one_curve(
    checkpoint: checkpoints.Checkpoint, attack: attacks.Attack, epsilons: list[float], options: argparse.Namespace
) -> dict[str, Any]:
    world = distributed.world()
    device = distributed.device() or pick_device(options.device)
    precision = options.precision or fastest_precision(device.type)
    test = data.load(checkpoint.recipe.dataset, "test", limit=options.limit)
    checkpoint.require(test)
    share = test[world.rank :: world.size]
    start = time.perf_counter()
    curve = RobustnessCurve(tuple(epsilons), (0,) * len(epsilons), 0)
    for curve in robustness_curve(checkpoint.model(), share, attack, epsilons, device=device, precision=precision):
        if not options.json and not world.rank:
            _bar(curve.total / len(share), f"{checkpoint.id} · {attacks.title(attack)}")
    parts: list[Any] = distributed.gather(curve)
    whole = sum(parts[1:], parts[0])
    return {
        "checkpoint": checkpoint.id,
        "dataset": checkpoint.recipe.dataset,
        "source": test.source,
        "samples": test.samples,
        "attack": attacks.title(attack),
        "images": whole.total,
        "device": describe(device, precision),
        "precision": precision,
        "seconds": round(time.perf_counter() - start, 3),
        "points": whole.points(),
    }


def _bar(done: float, label: str) -> None:
    """A progress bar on stderr, only where somebody can see it."""
    if sys.stderr.isatty():
        width = 30
        filled = round(done * width)
        end = "\n" if done >= 1 else ""
        print(f"\r{label} [{'█' * filled}{'·' * (width - filled)}] {done:4.0%}", end=end, file=sys.stderr, flush=True)


def _print_curve(result: dict[str, Any]) -> None:
    note = " (samples only)" if result["samples"] else ""
    title = f"{result['checkpoint']} under {result['attack']}: {result['images']} images{note}"
    print(f"{title}, {result['device']}, {result['seconds']} s")
    print("  ε in pixel space      right   accuracy   95 % interval")
    for point in result["points"]:
        low, high = (100 * point[end] for end in ("low", "high"))
        epsilon = f"{point['epsilon']:.4f} ({point['epsilon'] * 255:.1f}/255)"
        print(f"  {epsilon:<20} {point['correct']:>6}   {100 * point['accuracy']:>6.2f} %   {low:.1f} … {high:.1f} %")


# --- attack --------------------------------------------------------------------------------------------------------------


def _attack(options: argparse.Namespace) -> None:
    epsilon = _epsilon(options.epsilon)
    chosen = _model_to_attack(options)
    target = _class_index(options.target, chosen.class_names)
    attack = attacks.attack_named(
        options.attack, steps=options.steps, restarts=options.restarts, seed=options.seed, targeted=target is not None
    )
    model = chosen.model().to(pick_device(options.device))
    run = _attack_test_image if options.image is None else _attack_own_image
    outcome, origin, attacked = run(options, chosen, model, attack, epsilon, target)
    record = {
        "checkpoint": chosen.id,
        "attack": attacks.title(attack),
        **origin,
        "epsilon": epsilon,
        "target": None if target is None else chosen.class_names[target],
        **outcome.record(chosen.class_names),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    files = {name: encode.png(pixels) for name, pixels in outcome.pictures().items()} | {"attacked": attacked}
    for name, content in files.items():
        (options.out / f"{name}.png").write_bytes(content)
    (options.out / "attack.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2, ensure_ascii=False))


def _model_to_attack(options: argparse.Namespace) -> checkpoints.Checkpoint | pretrained.Pretrained:
    """The checkpoint or, for pictures of one's own, the pretrained model with that id."""
    own = options.image is not None
    if not own and (options.small or options.full or options.crop or options.plain or options.invert is not None):
        raise AdvcoreError("--small, --full, --crop, --invert and --plain are for pictures of your own: give one with --image.")
    if own and options.checkpoint.startswith(f"{pretrained.DATASET}/") and options.checkpoint not in checkpoints.catalog():
        return pretrained.find(options.checkpoint)
    return checkpoints.find(options.checkpoint)


def _attack_own_image(
    options: argparse.Namespace,
    chosen: checkpoints.Checkpoint | pretrained.Pretrained,
    model: torch.nn.Module,
    attack: attacks.Attack,
    epsilon: float,
    target: int | None,
) -> tuple[single.Outcome, dict[str, Any], bytes]:
    """What happens to the person's own picture, where it came from, and the attacked picture as PNG bytes."""
    picture = decode.read(options.image)
    dataset = chosen.id.split("/")[0] if isinstance(chosen, pretrained.Pretrained) else chosen.recipe.dataset
    crop = crop_from(options.crop, chosen.shape) if options.crop else None
    framing = frame(picture, chosen.shape, dataset, crop=crop, invert=options.invert, plain=options.plain)
    outcome, attacked = attack_own(
        model, picture, framing, chosen.shape, dataset, attack, epsilon, target=target, full=options.full
    )
    origin = {
        "source": str(options.image),
        "samples": False,
        "label": None,
        "size": list(picture.size),
        "notes": list(picture.notes),
        "full": options.full,
        "framing": framing.to_dict(),
    }
    return outcome, origin, attacked


def _attack_test_image(
    options: argparse.Namespace,
    checkpoint: checkpoints.Checkpoint,
    model: torch.nn.Module,
    attack: attacks.Attack,
    epsilon: float,
    target: int | None,
) -> tuple[single.Outcome, dict[str, Any], bytes]:
    """What happens to a test image, where it came from, and the attacked image as PNG bytes."""
    test = data.load(checkpoint.recipe.dataset, "test")
    checkpoint.require(test)
    if not 0 <= options.index < len(test):
        raise AdvcoreError(f"There is no test image {options.index}; {test.dataset} has 0 to {len(test) - 1} ({test.source}).")
    one, label = test[options.index : options.index + 1], int(test.labels[options.index])
    if target == label:
        raise AdvcoreError(f"Test image {options.index} is a {checkpoint.class_names[label]} itself: choose another target.")
    pixels = one.pixels(pick_device(options.device))
    outcome = single.attack_picture(model, pixels, attack, epsilon, label=label, target=target)
    origin = {"source": test.source, "samples": test.samples, "label": checkpoint.class_names[label]}
    return outcome, origin, encode.png(outcome.attacked[0])


def _class_index(wanted: str | None, names: Sequence[str]) -> int | None:
    """A class given by name or number."""
    if wanted is None:
        return None
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    raise AdvcoreError(
        f"There is no class '{wanted[:40]}'; choose one of {', '.join(names[:20])}{', …' if len(names) > 20 else ''}."
    )


def _pretrained(options: argparse.Namespace) -> None:
    if options.download:
        for done, expected in pretrained.download(options.download):
            _bar(done / expected, f"{options.download} {done >> 20} of {expected >> 20} MiB")
    print(f"Weights: {pretrained.cache_folder()}")
    for item in pretrained.available().values():
        print(f"  {item.id:<32} {item.title}, {100 * item.accuracy:.1f} % on ImageNet")
    for model_id, reason in pretrained.missing().items():
        print(f"  {model_id:<32} not here. {reason}")


# --- data, checkpoints -----------------------------------------------------------------------------------------------------


def _data(options: argparse.Namespace) -> None:
    if options.download:
        for done, expected in data.download(options.download):
            _bar(done / expected, f"{options.download} {done >> 20} of {expected >> 20} MiB")
    print(f"Data folder: {data.data_root()}")
    for name, info in data.datasets().items():
        for split in data.SPLITS:
            size = info.sizes.get(split, "")
            try:
                found = data.find(name, split)
                words, size = found.words, 20 if found.samples else size
            except data.DataError:
                words = "not here"
            print(f"  {name:<16} {split:<6} {size:>6}  {words}")


def _checkpoints(options: argparse.Namespace) -> None:
    if options.rebuild:
        _rebuild(options.rebuild)
    known = checkpoints.catalog()
    if options.json:
        rows = [
            {
                "id": item.id,
                "own": item.own,
                "recipe": item.recipe.to_dict(),
                "metrics": item.metrics,
                "provenance": item.provenance,
            }
            for item in known.values()
        ]
        print(json.dumps({"checkpoints": rows}, ensure_ascii=False))
        return
    print(f"{'id':<40} {'clean':>8}   under attack")
    for item in known.values():
        under = "  ".join(
            f"{row['attack']} {row['epsilon']:.3g}: {100 * row['accuracy']:.2f} %" for row in item.metrics.get("attacks", [])
        )
        clean = f"{100 * item.metrics['clean']:.2f} %" if "clean" in item.metrics else "–"
        print(f"{item.id:<40} {clean:>8}   {under}{'   (your own)' if item.own else ''}")
    for path, reason in checkpoints.problems().items():
        print(f"advcore: {path} is left out: {reason}", file=sys.stderr)


# --- train ---------------------------------------------------------------------------------------------------------------


def _train(options: argparse.Namespace) -> int:
    given = vars(options)
    if "job" in given:
        return queue.run(given["job"])
    recipe = _recipe(given)
    path = given.get("out") or checkpoints.free_path(recipe.checkpoint_id)
    _train_to(
        path,
        recipe,
        folder=given.get("folder"),
        device=given.get("device"),
        precision=given.get("precision"),
        pgd=_final_pgd(given.get("pgd", "20-1")),
    )
    return 0


def _rebuild(pattern: str) -> None:
    """Train the shipped checkpoints that match and are not there; a stopped one goes on where it was."""
    wanted = shipped.matching(pattern)
    if not wanted:
        raise AdvcoreError(f"No shipped checkpoint matches '{pattern}'; `python -m advcore checkpoints` lists them.")
    for item in wanted:
        path = checkpoints.shipped_root() / f"{item.recipe.checkpoint_id}{checkpoints.SUFFIX}"
        if not path.exists():
            print(f"Training {item.recipe.checkpoint_id}", flush=True)
            _train_to(path, item.recipe, pgd=attacks.PGD(steps=item.steps, restarts=item.restarts))


def _train_to(
    path: Path,
    recipe: Recipe,
    *,
    pgd: attacks.PGD,
    folder: Path | None = None,
    device: str | None = None,
    precision: Precision | None = None,
) -> None:
    """Train, measure and save; the state of the run is kept in `folder` until the checkpoint is written."""
    place = distributed.device() or pick_device(device)
    folder = folder or _state_folder(recipe)
    leader = distributed.world().rank == 0
    if leader:  # what cannot be written is said before hours of training
        path.parent.mkdir(parents=True, exist_ok=True)
    progress = None
    for progress in train(recipe, device=place, precision=precision, folder=folder):
        if leader:
            _print_progress(progress)
    if not leader or progress is None or progress.model is None:
        return
    seconds, precision = progress.seconds, progress.precision
    saved = measure.finish(
        recipe,
        progress.model,
        path,
        seconds=seconds,
        device=place,
        precision=precision,
        pgd=pgd,
        history=progress.history,
    )
    shutil.rmtree(folder, ignore_errors=True)
    print(f"Saved {saved.path}")
    print(json.dumps(saved.metrics), flush=True)


def _recipe(given: dict[str, Any]) -> Recipe:
    names = {item.name for item in fields(Recipe)}
    values = Recipe.from_json(given["recipe"].read_bytes()).to_dict() if "recipe" in given else {}
    said = {name: _epsilon(value) if name in _BUDGETS else value for name, value in given.items() if name in names}
    return Recipe.from_dict(values | said)


def _state_folder(recipe: Recipe) -> Path:
    """Where the same command finds its own state again."""
    digest = hashlib.sha256(recipe.to_json().encode()).hexdigest()[:8]
    return checkpoints.runs_root() / f"{recipe.checkpoint_id.replace('/', '-')}-{digest}"


def _final_pgd(text: str) -> attacks.PGD:
    try:
        steps, restarts = (int(part) for part in text.split("-"))
    except ValueError as error:
        raise AdvcoreError(f"'{text}' is no PGD: write STEPS-RESTARTS, for example 50-10.") from error
    return attacks.PGD(steps=steps, restarts=restarts)


def _print_progress(progress: Any) -> None:
    if progress.evaluation:
        seen = progress.evaluation
        print(
            f"step {progress.step}/{progress.steps}  loss {progress.loss:.3f}  clean {seen.clean:.1%}  "
            f"FGSM {seen.fgsm:.1%}  PGD-10 {seen.pgd:.1%} at ε {seen.epsilon:.3g}  "
            f"{progress.images_per_second:.0f} images/s  {progress.seconds_left:.0f} s left",
            flush=True,
        )
    if progress.warning:
        print(f"  note: {progress.warning}", flush=True)
    if progress.model is None and not progress.evaluation:
        _bar(progress.step / progress.steps, f"step {progress.step}/{progress.steps}, loss {progress.loss:.3f}")
