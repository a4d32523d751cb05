"""The ε scrubber: all data come in one message, so that dragging needs no request to the server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
import torch

from advcore.evaluation.scrub import Scrub
from advcore.images.encode import amplification, to_bytes
from ui.components import mount

RANKS = 5


@dataclass(frozen=True)
class Side:
    """One model of the comparison: what it is called, its colour, and its answers under the attack and under noise."""

    role: str
    title: str
    colour: str
    attack: Scrub
    noise: Scrub | None = None


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
    noise: bool = False,
    link: bool = True,
    key: str,
) -> Scrubbed:
    """Draw the track and a card for each side; returns where ε was last released.

    `usual` is the dataset's usual ε, which sets the amplification; `link` offers the address to copy. All sides show the same
    image on the same ε grid; the class to lose may differ, where it is the model's own answer.
    """
    message = _message(sides, class_names, usual)
    held = st.session_state.get(key) or {}
    epsilon, noise = held.get("epsilon", epsilon), held.get("noise", noise)
    digest = hashlib.sha256(repr(sorted(message.items(), key=lambda item: item[0])).encode()).hexdigest()[:16]
    message |= {"token": digest, "epsilon": epsilon, "noise": noise, "link": link}
    result = mount("scrubber", message, key=key, states={"epsilon": epsilon, "noise": noise})
    grid = sides[0].attack.epsilons  # where the thumb stands when a coarser grid has no such ε
    return Scrubbed(min(grid, key=lambda at: abs(at - float(result["epsilon"]))), bool(result["noise"]))


def _message(sides: Sequence[Side], class_names: Sequence[str], usual: float) -> dict[str, Any]:
    first = sides[0].attack
    return {
        "epsilons": list(first.epsilons),
        "shape": list(first.image.shape),
        "clean": _text(to_bytes(first.image)),
        "names": list(class_names),
        "target": first.target,
        "amplify": amplification(usual),
        "models": [_side(side) for side in sides],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "role": side.role,
        "title": side.title,
        "colour": side.colour,
        "label": side.attack.label,
        "ranks": min(RANKS, side.attack.shares.shape[1]),
        "attack": _answers(side.attack),
        "noise": None if side.noise is None else _answers(side.noise),
    }


def _answers(scrub: Scrub) -> dict[str, str | None]:
    shares, classes = scrub.shares.topk(min(RANKS, scrub.shares.shape[1]), dim=1)
    return {
        "classes": _text(classes.to(torch.int16)),
        "shares": _text(shares),
        "label": _text(scrub.shares[:, scrub.label]),
        "direction": None if scrub.direction is None else _text((scrub.direction * 127).round().to(torch.int8)),
        "frames": None if scrub.frames is None else _text(scrub.frames),
    }


def _text(tensor: torch.Tensor) -> str:
    """The tensor's bytes, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(tensor.cpu().numpy()).tobytes()).decode()
