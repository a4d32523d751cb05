"""Decision maps: a model's answers on a plane through the image, coarse at once and refined in the background."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
import torch
from PIL import Image
from torch import nn

from advcore import attacks
from advcore.evaluation.plane import (
    SIDES,
    DecisionMap,
    Plane,
    attack_direction,
    decision_map,
    random_direction,
)
from advcore.evaluation.scrub import Scrub
from advcore.models.checkpoints import Checkpoint
from ui import load, share
from ui.card import pictures_row
from ui.components.plane import Side, plane_data, plane_maps
from ui.downloads import offer_csv
from ui.frame import choose, chosen_number, enough, here, keep, number, remember, turn
from ui.pictures import Picture
from ui.scene import Scene
from ui.slides import Slide, licence, models_shown, offer_slide
from ui.waiting import results, wait
from ui.words import FOOLED, OTHERS, epsilon_text, markdown_safe, role, role_colour
from ui.worker import Task, pausing

SECOND = {"random": "Random", "other": "Attack on B", "image": "Other image"}
# Okabe–Ito: the true class is grey, the others differ in hue and lightness; from the seventh wrong class on all look alike.
TRUE, WRONG, REST = "#9aa7b2", (FOOLED, OTHERS[0], OTHERS[2], OTHERS[1], "#F0E442", "#0072B2"), "#444444"
READ = (
    "Every point is an image, and its colour is the model's answer. Inside the dashed line no pixel changes by more than ε. "
    "The line from the middle is the attack as ε grows; ✕ is where it first succeeds."
)
_MOST_DRAWS = 10_000


@dataclass(frozen=True)
class Request:
    """A map: whose answers, and the plane. `v` is an attack, a draw of random numbers, or ("image", its index)."""

    checkpoint_id: str
    changed: float
    u: load.ImageAttack
    v: load.ImageAttack | int | tuple[str, int]
    grid: tuple[float, ...]
    epsilon: float
    """The ε whose attacked image the plane goes through; 0 for an attack with one direction for all ε."""

    def plane(self) -> Plane:
        """The plane; raises AttackError where an attack has no direction or the two point the same way."""
        seen = load.scrubbed(self.u, self.grid)
        u, reach = attack_direction(seen, self.epsilon), (self.grid[-1], self.grid[-1])
        if isinstance(self.v, load.ImageAttack):
            v = attack_direction(load.scrubbed(self.v, self.grid), self.epsilon)
        elif isinstance(self.v, tuple):
            images = load.dataset(load.find(self.checkpoint_id).dataset)
            v = images[self.v[1] : self.v[1] + 1].pixels(seen.image.device)[0] - seen.image
            reach = (self.grid[-1], 1.0)
        else:
            v = random_direction(u, self.v)
        return Plane(seen.image, u, v, reach)


def draw(scene: Scene) -> None:
    """The choice of the second direction, the maps of both models, and what they say in words."""
    second, v = pick_second(scene)
    requests = [_request(scene, model, second, v) for model in scene.models]
    with st.spinner("Attacking …", show_time=True):
        seen = [scene.seen(model) for model in scene.models]
    looks = [_first_look(request) for request in requests]
    planes = [request.plane() for request in requests]
    tasks = [
        Task(
            request,
            functools.partial(_run, plane, load.model(model), look),
            _whole,
            lambda each: 0 if each is None else each.side,
        )
        for request, plane, model, look in zip(requests, planes, scene.models, looks, strict=True)
    ]
    fine = results(tasks)
    found = [each or look for each, look in zip(fine, looks, strict=True)]
    sides = [
        _side(model, plane, each, attacked)
        for model, plane, each, attacked in zip(scene.models, planes, found, seen, strict=True)
    ]
    axes = {"random": ("attack", "random"), "other": ("attack on A", "attack on B"), "image": ("attack", "other image")}
    colours, file = _colours(scene.label, looks, found), f"{scene.file}-map"
    data = plane_data(sides, scene.images.class_names, colours, label=scene.label, axes=axes[second], file_name=file)
    epsilon = plane_maps(data, epsilon=scene.epsilon, turn=turn(), key=f"plane:{scene.info.name}")
    remember(scene.info.name, epsilon=epsilon)
    st.caption(READ)
    share.shows(
        f"The answers of two models on a plane through test image {scene.index} of {scene.info.title}, along the direction of "
        f"{attacks.title(scene.attack)}.",
        functools.partial(_drawn, sides, colours, scene.images.class_names),
    )
    if all(map(_whole, found)):
        take_away(scene, sides, second)
        offer_slide(functools.partial(_slide, scene, data | {"epsilon": epsilon}, here()), file)
    else:
        wait("map", tasks, fine, _progress)


def _drawn(sides: Sequence[Side], colours: dict[int, str], names: Sequence[str]) -> Image.Image:
    """The maps for a card: the row of the largest b on top."""
    shown = []
    for letter, side in zip("AB", sides, strict=True):
        palette = torch.zeros(len(names), 3)
        for place, colour in colours.items():
            palette[place] = torch.tensor([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        pixels = palette[side.found.classes.flip(0)].permute(2, 0, 1)
        changed = f"first fooled at ε = {side.seen.epsilons[side.fooled_at]:.3f}" if side.fooled_at is not None else ""
        shown.append(Picture(pixels, f"{letter}: {side.role}", changed))
    return pictures_row([Picture(sides[0].plane.image, "the image", names[next(iter(colours))]), *shown])


def _slide(scene: Scene, shown: dict[str, Any], link: str | None) -> Slide:
    """The maps as a living slide."""
    return Slide(
        "plane",
        shown,
        "What the models answer around one image",
        f"{scene.image_words()}; {attacks.title(scene.attack)}. {READ}",
        models_shown(scene.models),
        licence(scene.info, scene.images),
        link,
    )


def pick_second(scene: Scene) -> tuple[str, int]:
    """The second direction, and the number of its draw or of its image."""
    scope, last = scene.info.name, len(scene.images) - 1
    options = {name: title for name, title in SECOND.items() if scene.different or name != "other"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        second = choose(
            st.segmented_control,
            "Second direction",
            "second",
            options,
            key=f"second:{scope}",
            required=True,
            help="The attack's direction is horizontal, this one vertical. *Random* has the attack's values in a random order "
            "with random signs, and so the same size in every norm.",
        )
        draw = int(number("draw", 0, _MOST_DRAWS, 0, scope=scope))
        towards = f"towards:{scope}"
        if second == "random":
            following = (draw + 1) % _MOST_DRAWS
            st.button("New random direction", icon=":material/casino:", on_click=lambda: keep(scope, draw=following))
        elif second == "image":
            default = next((at for at in range(last + 1) if int(scene.images.labels[at]) != scene.label), last)
            chosen_number("towards", 0, last, default, scope=scope, key=towards)
            st.session_state[towards] = int(st.session_state[towards])
            st.number_input("Number of the other image", 0, last, key=towards, width=200)
    value = draw if second == "random" else st.session_state.get(towards, 0)
    kept = {"random": "draw", "image": "towards"}.get(second)
    remember(scope, second=second, **{name: value if name == kept else None for name in ("draw", "towards")})
    return second, value


def _request(scene: Scene, model: Checkpoint, second: str, v: int) -> Request:
    own = scene.models[0] if second == "other" else model
    asked, grid = scene.asked(own), scene.info.epsilons
    along = scene.asked(scene.models[1]) if second == "other" else ("image", v) if second == "image" else v
    epsilon = 0.0 if scene.seen(own).direction is not None else scene.epsilon
    return Request(model.id, load.written(model), asked, along, grid, epsilon)


@st.cache_data(show_spinner=False, max_entries=256)
def _first_look(request: Request) -> DecisionMap:
    """The coarse map that is shown at once."""
    (found,) = decision_map(load.model(load.find(request.checkpoint_id)), request.plane(), SIDES[:1])
    assert found is not None
    return found


def _side(model: Checkpoint, plane: Plane, found: DecisionMap, seen: Scrub) -> Side:
    defense = model.recipe.defense
    return Side(role(defense), model.title, role_colour(defense), plane, found, seen)


def _colours(label: int, looks: Sequence[DecisionMap], found: Sequence[DecisionMap]) -> dict[int, str]:
    """A colour for each class: grey for the true one, then by the area in the first look, which stays as the maps grow."""
    counts: dict[int, int] = {}
    for each in looks:
        for place, count in enumerate(each.classes.flatten().bincount().tolist()):
            counts[place] = counts.get(place, 0) + count
    order = sorted((place for place, count in counts.items() if count and place != label), key=lambda at: (-counts[at], at))
    order += sorted({at for each in found for at in each.classes.flatten().tolist()} - {label, *order})
    return {label: TRUE} | {place: WRONG[at] if at < len(WRONG) else REST for at, place in enumerate(order)}


def _progress(now: Sequence[DecisionMap | None]) -> tuple[float, str]:
    sides = [SIDES[0] if each is None else each.side for each in now]
    share = sum(side**2 for side in sides) / (len(sides) * SIDES[-1] ** 2)
    return share, f"{min(sides)} × {min(sides)} points; refining to {SIDES[-1]} × {SIDES[-1]}"


def _whole(found: DecisionMap) -> bool:
    return found.share == 1


def _run(plane: Plane, model: nn.Module, look: DecisionMap, found: DecisionMap | None) -> Iterator[DecisionMap | None]:
    return decision_map(pausing(model), plane, known=found or look)


def take_away(scene: Scene, sides: Sequence[Side], second: str) -> None:
    """What the maps say, in words and as CSV."""
    lines, names = [], scene.images.class_names
    wanted = "wrongly" if scene.target is None else f"“{markdown_safe(names[scene.target])}”"
    for letter, side in zip("AB", sides, strict=True):
        track, middle = side.seen.epsilons, side.found.side // 2
        own = int(side.found.classes[middle, middle])
        if own != scene.label:
            lines.append(f"**{letter}** is wrong on this image without an attack.")
            continue
        along = (
            f"first answers {wanted} under the attack at ε = {epsilon_text(track[side.fooled_at])}"
            if side.fooled_at is not None
            else f"does not answer {wanted} under the attack up to ε = {epsilon_text(track[-1])}"
        )
        change = side.found.first_change(side.plane)
        end = f"up to {side.plane.reach[1]:.3g}, the edge of the map"
        changes = f"changes at a size of {change:.3g}" if math.isfinite(change) else f"does not change {end}"
        random = f"; along the random direction its answer {changes}" if second == "random" else ""
        lines.append(f"**{letter}** {along}{random}.")
    if second == "random":
        lines.append(
            "The random direction has the attack's values in a random order with random signs. Pixels are clipped to [0, 1]."
        )
    st.markdown("  \n".join(lines))
    enough()
    if sides[0].seen.direction is None:
        st.caption(
            "This attack does not move in a straight line: the path shows the point of the plane nearest to each attacked "
            "image."
        )

    offer_csv(
        "Every point (CSV)",
        lambda: (
            {"model": model.id, **row}
            for model, side in zip(scene.models, sides, strict=True)
            for row in side.found.rows(side.plane, names)
        ),
        f"{scene.file}-map.csv",
    )
