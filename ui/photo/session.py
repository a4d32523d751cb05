"""A person's photos: kept in their own session, never in a cache that sessions share."""

from __future__ import annotations

import hashlib
import itertools
import shlex
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import TypeVar

import streamlit as st
import torch
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx
from torch import Tensor

from advcore.attacks import Attack, UniformNoise, spec_of
from advcore.data import LabeledImages
from advcore.device import pick_device
from advcore.epsilon import nearest
from advcore.errors import AdvcoreError
from advcore.evaluation import scrub
from advcore.images import apart
from advcore.images.decode import Photo
from advcore.images.encode import to_bytes
from advcore.images.levels import MAX_PIXELS, shown_name
from advcore.models.architectures import Shape
from advcore.photos import examples, fullsize
from advcore.photos.attack import attack_own
from advcore.photos.framing import Box, Framing, View, frame, middle, saved_png, view_of
from ui import visitor
from ui.memory import Store
from ui.photo.models import PhotoModel, network, size_words

T = TypeVar("T")
THUMB: Shape = (3, 64, 64)
MAX_PHOTOS = 24
MAX_HELD = 3 * MAX_PIXELS
"""The most pixels that one session may hold."""
MAX_ALL = 8 * MAX_PIXELS
"""The most pixels that all sessions together may hold."""
MADE_BYTES, MADE_ALL = 192 << 20, 1 << 30
"""The most bytes of results and files from photos that are kept for one session, and for all."""
_everyone: weakref.WeakSet[Uploads] = weakref.WeakSet()
_made: weakref.WeakSet[Store] = weakref.WeakSet()
PACK_AT_ONCE = 4_000_000
"""Photos of more pixels are encoded only when asked for, since that takes seconds."""
_SLOW_SIDE = 128  # models of larger images take a tenth of a second for each ε
_SLOW_STRIDE = 4
_TOGETHER = 4  # at how many ε a slow attack is made between two reports of its progress
_UPLOADS, _MADE = "own pictures", "made of own pictures"


# --- what the session holds --------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Uploads:
    """The session's photos by id, in the order they came, and what was wrong with other files.

    `uploaded` and `taken` are the ids by source, `drawn` is the drawing as PNG bytes. `kinds` says by id what a photo shows.
    """

    photos: OrderedDict[str, Photo] = field(default_factory=OrderedDict)
    problems: dict[str, str] = field(default_factory=dict)
    uploaded: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    camera_on: bool = True
    drawn: bytes | None = None
    kinds: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _everyone.add(self)

    @property
    def pixels(self) -> int:
        """How many pixels its photos have."""
        return sum(photo.size[0] * photo.size[1] for photo in list(self.photos.values()))

    def put(self, name: str, content: bytes) -> str | None:
        """Decode a file and keep it; returns its id, or None when it cannot be used and `problems` says why."""
        photo_id = identity(content, name)
        if photo_id in self.photos:
            return photo_id
        try:
            visitor.spend("picture")
            photo = decoded(content, name)
            self._check_room(photo)
        except AdvcoreError as error:
            self.problems[photo_id] = str(error)
            return None
        self.photos[photo_id] = photo
        return photo_id

    def _check_room(self, photo: Photo) -> None:
        more = photo.size[0] * photo.size[1]
        if sum(other.pixels for other in _everyone.copy()) + more > MAX_ALL:
            raise AdvcoreError(f"{photo.name} was left out: this server holds too many pictures now. Try again later.")
        if len(self.photos) >= MAX_PHOTOS or self.pixels + more > MAX_HELD:
            raise AdvcoreError(
                f"{photo.name} was left out: a session holds {MAX_PHOTOS} pictures and {MAX_HELD // 10**6} megapixels at most. "
                "Remove some first."
            )


def decoded(content: bytes, name: str) -> Photo:
    """Decode an untrusted file in a separate process, which ends when the visitor leaves. Raises PhotoError."""
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return apart.decode(content, name)
    return apart.decode(content, name, wanted=lambda: runtime.get_instance().is_active_session(context.session_id))


def uploads() -> Uploads:
    """The photos that this session holds."""
    return st.session_state.setdefault(_UPLOADS, Uploads())


def forget() -> None:
    """Drop every photo of this session and everything computed from them."""
    for name in (_UPLOADS, _MADE):
        st.session_state.pop(name, None)


def drop(photo_id: str) -> None:
    """Drop one photo and everything computed from it."""
    uploads().photos.pop(photo_id, None)
    held = st.session_state.get(_MADE)
    for key in held or ():
        if photo_id in key or any(isinstance(part, tuple) and photo_id in part for part in key):
            held.drop(key)


def made(key: tuple[Hashable, ...], make: Callable[[], T]) -> T:
    """The result of `make`, cached in this session; the least recently used results are dropped."""
    if _MADE not in st.session_state:
        st.session_state[_MADE] = Store(24, MADE_BYTES, lambda: MADE_ALL - sum(other.size for other in _made.copy()))
        _made.add(st.session_state[_MADE])
    held: Store = st.session_state[_MADE]
    if key not in held:
        held.put(key, make())
    return held.get(key)


def identity(content: bytes, name: str = "") -> str:
    """A short id of a file's bytes and name."""
    return hashlib.sha256(shown_name(name).encode() + b"\0" + content).hexdigest()[:16]


# --- photos to choose from -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """An example that the page offers: its dataset, its id for links, the title, the name of its class, and its credit."""

    dataset: str
    id: str
    title: str
    label: str
    credit: str


_OFFERED = {"cifar10": 6, "gtsrb": 1, "mnist": 3, "fashion-mnist": 2}
"""How many examples of each dataset stand first in the strip."""


@st.cache_resource(show_spinner="Preparing the examples …", max_entries=8)
def example_strip(extra: str) -> tuple[tuple[Shown, ...], LabeledImages]:
    """Examples of every kind, shared by all sessions: what they are, and their thumbnails.

    Those of another dataset, `extra`, come first; there are as many as stand in one row of a laptop's screen.
    """
    found: dict[str, tuple[Shown, examples.Example]] = {}
    for dataset, most in (_OFFERED if extra in _OFFERED else {extra: 3, **_OFFERED, "cifar10": 4}).items():
        for item in itertools.islice(examples.each(dataset), most):
            found.setdefault(item.id, (Shown(dataset, item.id, item.title, item.label, item.credit), item))
    shown, items = zip(*found.values(), strict=True)
    return shown, strip([item.open() for item in items], [item.title for item in items])


@st.cache_resource(show_spinner=False, max_entries=32)
def example(dataset: str, example_id: str) -> Photo:
    """An example photo; shared by all sessions."""
    return examples.example(dataset, example_id)


def strip(photos: Sequence[Photo], titles: Sequence[str]) -> LabeledImages:
    """Thumbnails for a gallery."""
    thumbs = [to_bytes(view_of(item, middle(item, THUMB), THUMB)) for item in photos]
    return LabeledImages(torch.cat(thumbs), torch.arange(len(thumbs)), tuple(titles))


# --- looking and attacking ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FramedPhoto:
    """A photo, how it is framed for the models of a dataset, and what they see of it (1×C×H×W in [0, 1])."""

    photo_id: str
    photo: Photo
    framing: Framing
    seen: Tensor


def frame_photo(
    photo_id: str,
    photo: Photo,
    model: PhotoModel,
    *,
    crop: Box | None = None,
    invert: bool | None = None,
    plain: bool = False,
) -> FramedPhoto:
    """Frame the photo for models of `model`'s dataset and shape. Raises PhotoError when the crop shows nothing."""

    def take() -> FramedPhoto:
        framing = frame(photo, model.shape, model.dataset, crop=crop, invert=invert, plain=plain)
        return FramedPhoto(photo_id, photo, framing, view_of(photo, framing, model.shape))

    return made(("frame", photo_id, model.dataset, model.shape, crop, invert, plain), take)


@dataclass(frozen=True, eq=False)
class Answered:
    """A model's answers to a photo under attack and, once asked for, under noise.

    `whole` is the attack on the whole photo, if that was it.
    """

    model: PhotoModel
    attack: scrub.Scrub
    noise: scrub.Scrub | None = None
    whole: fullsize.FullSize | None = None

    @property
    def own(self) -> tuple[float, str]:
        """What the model says before any attack: its confidence and the name of the class."""
        return float(self.attack.shares[0, self.attack.label]), self.model.class_names[self.attack.label]


def attack_views(
    models: Sequence[PhotoModel],
    framed: FramedPhoto,
    attack: Attack,
    target: int | None,
    epsilons: tuple[float, ...],
    tell: Callable[[float], None] = lambda _: None,
) -> list[Answered]:
    """Attack what each model sees, away from its own answer or toward `target`.

    An attack that runs again at every ε makes a few of them at a time; `tell` is called with the share that is done.
    """
    if models[0].shape[1] > _SLOW_SIDE:
        epsilons = epsilons[::_SLOW_STRIDE]

    def answer(model: PhotoModel, number: int) -> Answered:
        net, image = network(model), framed.seen.to(pick_device())
        if attack.single_run:
            return Answered(model, scrub.scrub(net, image, attack, epsilons, target=target))
        grid, parts = scrub.coarse(epsilons), []
        for start in range(0, len(grid), _TOGETHER):
            tell((number + start / len(grid)) / len(models))
            parts.append(scrub.scrub(net, image, attack, grid[start : start + _TOGETHER], target=target))
        return Answered(model, reduce(scrub.Scrub.with_more, parts))

    key = ("views", framed.photo_id, framed.framing, attack, target, epsilons)
    return [made((*key, model.id), partial(answer, model, number)) for number, model in enumerate(models)]


def with_noise(answers: Sequence[Answered], framed: FramedPhoto, target: int | None, *, keep: bool = False) -> list[Answered]:
    """The answers, with those under noise within the same ε where they are missing; `keep` keeps these for this session."""

    def noise(of: Answered) -> scrub.Scrub:
        net, image, under = network(of.model), framed.seen.to(pick_device()), of.attack
        return scrub.scrub(net, image, UniformNoise(), under.epsilons, label=under.label, target=target)

    def found(of: Answered) -> scrub.Scrub:
        key = ("noise", framed.photo_id, framed.framing, target, of.attack.epsilons, of.model.id)
        return made(key, partial(noise, of)) if keep else noise(of)

    return [of if of.noise else replace(of, noise=found(of)) for of in answers]


def attack_whole(
    models: Sequence[PhotoModel], framed: FramedPhoto, target: int | None, end: float, tell: Callable[[float], None]
) -> list[Answered]:
    """FGSM on the whole photo for each model, up to ε = `end`; `tell` is called with the share that is done."""
    shape = models[0].shape
    levels = fullsize.level_grid(end, fullsize.MAX_STEPS if shape[1] <= _SLOW_SIDE else fullsize.MAX_STEPS // 2)
    key, view = ("whole", framed.photo_id, framed.framing, levels), View(framed.framing, shape)

    def answer(model: PhotoModel, number: int) -> Answered:
        result = None
        with visitor.heavy("whole picture"):
            for step in fullsize.full_size(network(model), framed.photo, view, levels, target=target):
                share, result = step
                tell((number + share) / (len(models) + 1))
        assert result is not None  # that of the last step
        noise, under = made((*key, "noise"), lambda: fullsize.full_noise(framed.photo, view, levels)), result.scrub()
        return Answered(model, under, noise.scrub(network(model), under), result)

    answers = [made((*key, target, item.id), partial(answer, item, number)) for number, item in enumerate(models)]
    tell(1.0)
    return answers


def telling_epsilon(answers: Sequence[Answered], usual: float) -> float:
    """The first ε to show: near the usual one, where the first model is fooled and, if possible, no other is."""
    first, others = answers[0].attack, [item.attack for item in answers[1:]]
    lost = first.answers != first.label
    held = torch.stack([other.answers == other.label for other in others]).all(0) if others else torch.ones_like(lost)
    for wanted in (lost & held, lost):
        if wanted.any():
            return nearest((first.epsilons[index] for index in wanted.nonzero().flatten()), usual)
    return usual


# --- downloads ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Saved:
    """An attacked photo to download, and whether it fools its model before and after it became a file."""

    png: bytes
    size: tuple[int, int]
    before: bool
    after: bool


def saved(
    framed: FramedPhoto, answered: Answered, attack: Attack, target: int | None, epsilon: float, *, asked: bool = True
) -> Saved | None:
    """The attacked photo at one ε of the grid as a file, which is opened again to see whether it still fools.

    None for a large photo whose file was not `asked` for yet.
    """
    whole = answered.whole
    key = ("saved", framed.photo_id, framed.framing, answered.model.id, whole is None, attack, target, epsilon)
    if whole is None:
        return made(key, lambda: _saved_view(framed, answered.model, attack, target, epsilon))
    large = whole.photo.size[0] * whole.photo.size[1] > PACK_AT_ONCE
    if large and not asked and key not in st.session_state.get(_MADE, ()):
        return None
    return made(key, lambda: _saved_whole(answered, whole, attack, epsilon))


def _saved_view(framed: FramedPhoto, model: PhotoModel, attack: Attack, target: int | None, epsilon: float) -> Saved:
    outcome, png = attack_own(
        network(model), framed.photo, framed.framing, model.shape, model.dataset, attack, epsilon, target=target
    )
    return Saved(png, (model.shape[2], model.shape[1]), outcome.fooled(outcome.after), outcome.fooled(outcome.rounded))


def _saved_whole(answered: Answered, whole: fullsize.FullSize, attack: Attack, epsilon: float) -> Saved:
    model, level = answered.model, round(255 * epsilon)
    view, noisy = View(whole.framing, model.shape), isinstance(attack, UniformNoise)
    if noisy:
        pixels = fullsize.noisy_pixels(whole.photo, view, level)
    else:
        pixels = fullsize.attacked_pixels(whole.photo, view, whole.direction, level)
    png = saved_png(pixels, whole.framing, model.dataset)
    shown = answered.noise if noisy else answered.attack
    assert shown is not None  # noise that is shown was computed
    answer = int(fullsize.answer_to_file(network(model), png, model.shape, model.dataset).argmax())
    before = int(shown.answers[shown.epsilons.index(epsilon)])
    return Saved(png, whole.photo.size, before != whole.label, answer != whole.label)


def command(
    model: PhotoModel,
    name: str,
    attack: Attack,
    epsilon: float,
    target: str | None,
    *,
    full: bool,
    crop: Box | None,
    invert: bool | None,
    plain: bool,
) -> str:
    """The same attack on the command line."""
    parts = ["python", "-m", "advcore", "attack", "--checkpoint", model.id, *_option("image", name), "--epsilon", repr(epsilon)]
    parts += ["--attack", spec_of(attack).name]
    parts += ["--full"] if full else []
    parts += [f"--crop={','.join(map(str, crop))}"] if crop else []
    parts += [] if invert is None else ["--invert" if invert else "--no-invert"]
    parts += ["--plain"] if plain else []
    parts += _option("target", target) if target is not None else []
    return shlex.join([*parts, "--out", "attacked"])


def _option(name: str, value: str) -> list[str]:
    """An option of the command line, also with a value that itself begins like one."""
    return [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]


# --- words and figures -------------------------------------------------------------------------------------------------


def photo_words(photo: Photo) -> str:
    """What kind of file a photo is and what was done to open it."""
    return " · ".join([photo.name, f"{photo.format} {photo.size[0]}×{photo.size[1]}", *photo.notes])


def seen_words(model: PhotoModel, framing: Framing) -> str:
    """How the photo became what the models see."""
    words = [size_words(model)]
    words += ["dark made bright"] if framing.invert and model.shape[0] == 1 else []
    words += ["paper removed, ink centred"] if framing.ink is not None else []
    return " · ".join(words)
