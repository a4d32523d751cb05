"""The ε scrubber: what is known at every ε comes in one message, so that dragging needs no request to the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
import torch

from advcore.epsilon import nearest
from advcore.evaluation.scrub import Scrub
from advcore.images.encode import amplification, to_bytes
from ui.components import left_at, mount, packed, token

RANKS = 5
_NOISE = "noise was asked for"
"""Whether this session has asked for noise: it takes as long as the attack, and most people do not ask."""


@dataclass(frozen=True)
class Side:
    """One model of the comparison: what it is called, its colour, and its answers under the attack and under noise.

    The attack's answers can be those of a part of the track, with 0 in it.

    `judged` says whether its answer without an attack is known to be right or wrong: only then is it called fooled or held.
    `began` is a sentence about that answer, such as "It was unsure before the attack."
    """

    role: str
    title: str
    colour: str
    attack: Scrub
    noise: Scrub | None = None
    judged: bool = True
    began: str = ""


@dataclass(frozen=True)
class Scrubbed:
    """The position at which the scrubber was released."""

    epsilon: float
    noise: bool


def scrubber(
    sides: Sequence[Side],
    class_names: Sequence[str],
    *,
    epsilon: float,
    usual: float,
    track: Sequence[float] = (),
    noise: bool = False,
    link: bool = True,
    bare: bool = False,
    offers_noise: bool = False,
    walks: bool = False,
    turn: str = "",
    key: str,
) -> Scrubbed:
    """Draw the track and a card for each side; returns where ε was last released.

    `usual` is the dataset's usual ε, which sets the amplification; `link` offers the address to copy; `bare` shows the
    pictures without what the models say of them. With `offers_noise` a person can ask for noise that the sides do not have;
    `wants_noise` then says so. `track` is the ε grid where the attack's answers are known on a part of it only; of other places
    the cards say that they are not computed yet. The position is `epsilon` and `noise` whenever `turn` changes, else where the
    person left it; with `walks` the thumb then goes there from 0. All sides show the same image on the same ε grid; their
    class to lose may differ.
    """
    epsilon, noise = position(key, turn, epsilon, noise)
    data = scrubber_data(sides, class_names, usual, track) | {"epsilon": epsilon, "noise": noise, "turn": turn}
    data |= {"link": link, "bare": bare, "offersNoise": offers_noise, "walks": walks}
    mount("scrubber", data, key=key, states=("left",))
    grid = track or sides[0].attack.epsilons  # where the thumb stands when a coarser grid has no such ε
    return Scrubbed(nearest(grid, epsilon), noise)


def position(key: str, turn: str, epsilon: float, noise: bool = False) -> tuple[float, bool]:
    """Where a person left the scrubber `key` since it was set to `turn`; else what is given."""
    held = left_at(key, turn)
    return (float(held["epsilon"]), bool(held.get("noise"))) if held else (epsilon, noise)


def wants_noise(key: str, turn: str, noise: bool) -> bool:
    """Whether noise has to be computed: the scrubber `key` shows it, or this session has once asked for it."""
    st.session_state[_NOISE] = st.session_state.get(_NOISE) or position(key, turn, 0.0, noise)[1]
    return st.session_state[_NOISE]


def scrubber_data(
    sides: Sequence[Side], class_names: Sequence[str], usual: float, track: Sequence[float] = ()
) -> dict[str, Any]:
    """What the browser draws: images and answers at every ε; `token` changes when any of it does. ε stands at 0."""
    first = sides[0].attack
    grid = tuple(track or first.epsilons)
    found = {
        "epsilons": list(grid),
        "shape": list(first.image.shape),
        "clean": packed(to_bytes(first.image)),
        "names": list(class_names),
        "target": first.target,
        "amplify": amplification(usual),
        "models": [_side(side, grid) for side in sides],
    }
    stands = {"epsilon": 0.0, "noise": False, "turn": ""}
    return found | {"token": token(found), **stands, "link": False, "bare": False, "offersNoise": False}


def _side(side: Side, grid: tuple[float, ...]) -> dict[str, Any]:
    return {
        "role": side.role,
        "title": side.title,
        "colour": side.colour,
        "label": side.attack.label,
        "judged": side.judged,
        "began": side.began,
        "ranks": min(RANKS, side.attack.shares.shape[1]),
        "attack": _answers(side.attack, grid),
        "noise": None if side.noise is None else _answers(side.noise, grid),
    }


def _answers(scrub: Scrub, grid: tuple[float, ...]) -> dict[str, Any]:
    shares, classes = scrub.shares.topk(min(RANKS, scrub.shares.shape[1]), dim=1)
    return {
        "places": None if scrub.epsilons == grid else [grid.index(epsilon) for epsilon in scrub.epsilons],
        "classes": packed(classes.to(torch.int16)),
        "shares": packed(shares),
        "label": packed(scrub.shares[:, scrub.label]),
        "direction": None if scrub.direction is None else packed((scrub.direction * 127).round().to(torch.int8)),
        "frames": None if scrub.frames is None else packed(scrub.frames),
    }
