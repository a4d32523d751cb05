"""An attack on one photo: on what the model sees of it, or on the whole photo."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from advcore.attacks import Attack, probabilities
from advcore.evaluation.single import Outcome, attack_picture
from advcore.images.decode import Photo, PhotoError
from advcore.models.architectures import Shape
from advcore.photos.framing import Box, Framing, View, pixels_of, saved_png, view_of, whole_framing
from advcore.photos.fullsize import answer_to_file, attack_whole, device_of


def attack_own(
    model: nn.Module,
    photo: Photo,
    framing: Framing,
    shape: Shape,
    dataset: str,
    attack: Attack,
    epsilon: float,
    *,
    target: int | None = None,
    full: bool = False,
) -> tuple[Outcome, bytes]:
    """Attack what a model of `shape` sees of the photo, or with `full` the photo itself, within ε (L∞, pixel space).

    A photo has no true label: the attack moves away from the model's own answer, or toward `target`. Returns the outcome and
    the attacked photo as PNG bytes; the outcome's `rounded` is the model's answer to these bytes, decoded again.
    """
    device = device_of(model)
    seen = view_of(photo, framing, shape).to(device)
    if full:
        before = probabilities(model, seen)[0]
        label = int(before.argmax())
        levels = attack_whole(model, photo, View(framing, shape), attack, epsilon, label=label, target=target)
        seen = view_of(replace(photo, pixels=levels), framing, shape).to(device)
        after, attacked = probabilities(model, seen)[0], levels[None].float().div_(255)
        outcome = Outcome(pixels_of(photo), attacked, before, after, after, label, target, levels[None])
    else:
        outcome, framing = attack_picture(model, seen, attack, epsilon, target=target), whole_framing(shape)
    data = saved_png(outcome.saved[0], framing, dataset)
    return replace(outcome, rounded=answer_to_file(model, data, shape, dataset)), data


def crop_from(text: str, shape: Shape) -> Box:
    """The crop written as `LEFT,TOP,WIDTH,HEIGHT` in pixels, cut to the model's proportions around its middle.

    Raises PhotoError when it is not four whole numbers, or is empty.
    """
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise PhotoError(
            f"'{text[:40]}' is not a crop: write LEFT,TOP,WIDTH,HEIGHT in pixels, for example 120,80,640,640."
        ) from error
    if not (0 < width < 10**6 and 0 < height < 10**6 and abs(left) < 10**6 and abs(top) < 10**6):
        raise PhotoError(f"The crop {text[:40]} is empty or far too large; give its width and height in pixels of the picture.")
    scale = min(width / shape[2], height / shape[1])
    across, down = max(1, round(shape[2] * scale)), max(1, round(shape[1] * scale))
    return left + (width - across) // 2, top + (height - down) // 2, across, down
