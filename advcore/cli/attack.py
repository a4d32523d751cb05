"""`python -m advcore attack`: attack one test image, or a picture of your own, and write the pictures as PNG."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from advcore import attacks, data
from advcore.cli.options import add_attack, add_device, chosen_attack, epsilon, one_image
from advcore.device import pick_device
from advcore.errors import AdvcoreError
from advcore.evaluation import single
from advcore.images import decode, encode
from advcore.models import checkpoints, pretrained
from advcore.photos.attack import attack_own, crop_from
from advcore.photos.framing import frame


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--checkpoint", required=True, metavar="ID")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--index", type=int, help="position in the test split")
    which.add_argument("--image", type=Path, metavar="FILE", help="a picture of your own")
    parser.add_argument("--epsilon", type=epsilon, required=True, help="in pixel space: 0.1 or 8/255")
    parser.add_argument("--target", metavar="CLASS", help="the class to move toward, by name or number")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="with --image: attack what the model sees of it (the default)")
    size.add_argument("--full", action="store_true", help="with --image: attack the whole picture, at its own size")
    parser.add_argument("--crop", metavar="LEFT,TOP,WIDTH,HEIGHT", help="with --image: the part to use, in its pixels")
    parser.add_argument(
        "--invert", action=argparse.BooleanOptionalAction, help="with --image: dark is ink (default: found automatically)"
    )
    parser.add_argument("--plain", action="store_true", help="with --image: take digits as they are, do not look for ink")
    add_attack(parser)
    add_device(parser, precision=False)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    name, photo = options.checkpoint, options.image is not None
    if not photo and (options.small or options.full or options.crop or options.plain or options.invert is not None):
        raise AdvcoreError("--small, --full, --crop, --invert and --plain are for pictures of your own: give one with --image.")
    published = photo and name.startswith(f"{pretrained.DATASET}/") and name not in checkpoints.catalog()
    chosen = pretrained.find(name) if published else checkpoints.find(name)
    target = class_index(options.target, chosen.class_names)
    attack = chosen_attack(options, [options.epsilon], targeted=target is not None)
    model = chosen.model().to(pick_device(options.device))
    attack_one = _attack_photo if photo else _attack_test_image
    outcome, origin, attacked = attack_one(options, chosen, model, attack, target)
    record = {
        "checkpoint": chosen.id,
        "attack": attacks.title(attack),
        **origin,
        "epsilon": options.epsilon,
        "norm": attack.norm,
        "target": None if target is None else chosen.class_names[target],
        **outcome.record(chosen.class_names),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False)
    options.out.mkdir(parents=True, exist_ok=True)
    files = {name: encode.png(pixels) for name, pixels in outcome.pictures().items()} | {"attacked": attacked}
    for name, content in files.items():
        (options.out / f"{name}.png").write_bytes(content)
    (options.out / "attack.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _attack_photo(
    options: argparse.Namespace,
    chosen: checkpoints.Checkpoint | pretrained.Pretrained,
    model: torch.nn.Module,
    attack: attacks.Attack,
    target: int | None,
) -> tuple[single.Outcome, dict[str, Any], bytes]:
    """The outcome for a picture of the user's own, its origin as JSON values, and the attacked picture as PNG bytes."""
    picture, dataset = decode.read(options.image), chosen.dataset
    crop = crop_from(options.crop, chosen.shape) if options.crop else None
    framing = frame(picture, chosen.shape, dataset, crop=crop, invert=options.invert, plain=options.plain)
    outcome, attacked = attack_own(
        model, picture, framing, chosen.shape, dataset, attack, options.epsilon, target=target, full=options.full
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
    target: int | None,
) -> tuple[single.Outcome, dict[str, Any], bytes]:
    """The outcome for a test image, its origin as JSON values, and the attacked image as PNG bytes."""
    test = data.load(checkpoint.dataset, "test")
    checkpoint.require(test)
    one, label = one_image(test, options.index), int(test.labels[options.index])
    if target == label:
        raise AdvcoreError(f"Test image {options.index} already is a {checkpoint.class_names[label]}: choose another target.")
    pixels = one.pixels(pick_device(options.device))
    outcome = single.attack_picture(model, pixels, attack, options.epsilon, label=label, target=target, index=options.index)
    origin = {"source": test.source, "samples": test.samples, "label": checkpoint.class_names[label]}
    return outcome, origin, encode.png(outcome.saved[0])


def class_index(wanted: str | None, names: Sequence[str]) -> int | None:
    """The index of a class given by name or number; None for None."""
    if wanted is None:
        return None
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    raise AdvcoreError(
        f"There is no class '{wanted[:40]}'; choose one of {', '.join(names[:20])}{', …' if len(names) > 20 else ''}."
    )
