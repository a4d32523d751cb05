"""Example photos: drawn by this program, or part of installed packages. They need no network."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from advcore.data import BUILT_IN, Dataset, load
from advcore.data.readers import foolbox_folder, imagenet_class_names
from advcore.errors import DataError
from advcore.images.decode import Photo, photo_of, read
from advcore.photos.drawn import Hand, picture_of, stop_sign

_HANDS = (
    Hand(size=640, height=0.42, thickness=0.1, slant=0.12, jitter=0.015, turn=-4, photo=0.75),
    Hand(size=480, height=0.6, thickness=0.13, slant=0.05, jitter=0.02, turn=3, white_on_black=True),
    Hand(size=560, height=0.5, thickness=0.07, slant=0.2, jitter=0.02, turn=2, at=(0.44, 0.55), photo=1.0),
    Hand(size=420, height=0.65, thickness=0.12, slant=-0.05, jitter=0.01),
)
# The seed that draws each digit; the first digit is one that standard models classify well and lose at a small ε.
_DRAWN = {5: 4, 7: 1, 9: 6, 2: 3, 8: 2, 4: 5, 3: 0, 6: 7, 0: 8, 1: 9}
# The photographs in scikit-learn: what they show, and their credit from its README.
_SCENES = {
    "china": ("a temple", "danielbuechele on Flickr, from scikit-learn; CC BY 2.0"),
    "flower": ("a flower", "vultilion on Flickr, from scikit-learn; CC BY 2.0"),
}


@dataclass(frozen=True)
class Example:
    """An example photo: a stable id for links, what it shows, the name of its class, how to open it, its origin and licence."""

    id: str
    title: str
    label: str
    open: Callable[[], Photo]
    credit: str = "drawn by Adversarial Lab; MIT licence"


def examples(dataset: str) -> list[Example]:
    """The examples for models of a dataset: digits, signs, its own samples or photographs; never empty."""
    return list(each(dataset))


def each(dataset: str) -> Iterator[Example]:
    """As `examples`, one after another: the test images of signs are read only when they are asked for."""
    info = BUILT_IN.get(dataset) or Dataset(dataset, dataset)
    if info.subject == "sign":
        yield _STOP_SIGN
        yield from _test_images(info)
    else:
        yield from _drawn_or_photographed(info)


def _drawn_or_photographed(info: Dataset) -> list[Example]:
    if info.digit_form:
        return _drawn_digits()
    own = _samples(info) or _test_images(info)
    if info.grey:
        return own or _photographs()
    imagenet = BUILT_IN["imagenet"]
    first = {} if info is imagenet else {item.label: item for item in reversed(own)}  # one of each class
    others = [] if own else _samples(imagenet)[:8]  # the names of ImageNet's classes take two seconds to import
    return [*(item for item in own if first.get(item.label) is item), *_photographs(), *others]


def example(dataset: str, example_id: str) -> Photo:
    """The photo of an example. Raises DataError when there is none of that id."""
    for item in each(dataset):
        if item.id == example_id:
            return item.open()
    raise DataError(f"There is no example '{example_id[:40]}' for {dataset}; choose one of those shown.")


def _drawn_digits() -> list[Example]:
    rows = []
    for digit, seed in _DRAWN.items():
        hand = _HANDS[seed % len(_HANDS)]
        kind = "on paper" if hand.photo else "in chalk" if hand.white_on_black else "on a pad"
        rows.append(Example(f"drawn-{digit}", f"{digit} {kind}", str(digit), partial(_drawing, digit, hand, seed)))
    return rows


def _drawing(digit: int, hand: Hand, seed: int) -> Photo:
    return photo_of(np.array(picture_of(digit, hand, seed)), f"drawn-{digit}.png", "PNG")


def _sign() -> Photo:
    return photo_of(np.array(stop_sign()), "drawn-stop.png", "PNG")


_STOP_SIGN = Example("drawn-stop", "a stop sign", "Stop", _sign)


def _photographs() -> list[Example]:
    """scikit-learn's two photographs, found without importing it; a drawn page where it is not installed."""
    spec = importlib.util.find_spec("sklearn")
    folder = Path(spec.origin).parent / "datasets" / "images" if spec and spec.origin else None
    found = []
    for name, (title, credit) in _SCENES.items():
        if folder and (file := folder / f"{name}.jpg").is_file():
            found.append(Example(name, title, title, partial(read, file), credit))
    return found or _drawn_digits()[:4]


def _samples(info: Dataset) -> list[Example]:
    """foolbox's samples of a dataset, `NAME_INDEX_LABEL.png` or `.jpg`, at most ten."""
    folder = foolbox_folder()
    files = sorted(folder.glob(f"{info.foolbox}_*")) if folder and info.foolbox else []
    names, found = info.class_names or imagenet_class_names(), []
    for file in files[:10]:
        _, index, label = file.stem.rsplit("_", 2)
        if label.isdecimal() and int(label) < len(names):
            name = names[int(label)]
            found.append(Example(f"{info.foolbox}-{index}", name, name, partial(read, file), info.credit))
    return found


def _test_images(info: Dataset) -> list[Example]:
    """Of a dataset whose test images are on this machine: the clearest of each of ten classes, that of `swap` first."""
    try:
        some = load(info.name, limit=2500) if info.name in BUILT_IN else None
    except DataError:
        some = None
    if some is None:
        return []
    first = some.class_names.index(info.swap[0]) if info.swap else -1
    contrast = some.contrast + (some.labels == first)  # which is at most ½, so that the class of `swap` comes first
    found: dict[str, Example] = {}
    for place in contrast.argsort(descending=True).tolist():
        name, levels = some.class_names[int(some.labels[place])], some.images[place].permute(1, 2, 0).numpy()
        made = partial(photo_of, levels, f"{info.name}-{place}.png", "PNG")
        found.setdefault(name, Example(f"{info.name}-{place}", name, name, made, info.credit))
    return list(found.values())[:10]
