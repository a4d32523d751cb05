"""Decision maps to look around in: the image at any point is computed in the browser, so that pointing asks no server."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
import torch

from advcore.evaluation.plane import DecisionMap, Plane
from advcore.evaluation.scrub import Scrub
from advcore.images.encode import to_bytes
from ui.components import mount


@dataclass(frozen=True, eq=False)
class Side:
    """One model's map: what the model is called, its colour, its plane and its answers there, and the attack on the track."""

    role: str
    title: str
    colour: str
    plane: Plane
    found: DecisionMap
    seen: Scrub

    @property
    def fooled_at(self) -> int | None:
        """The first place of the track at which the attack has what it wants, or None."""
        return next((place for place, fooled in enumerate(self.seen.fooled.tolist()) if fooled), None)


def plane_maps(data: Mapping[str, Any], *, epsilon: float, turn: str, key: str) -> float:
    """Draw the maps with the ε track; returns the ε at which the track was last released.

    `data` comes from `plane_data`. The track stands at `epsilon` whenever `turn` changes, else where the person left it.
    """
    held = (st.session_state.get(key) or {}).get("left")
    if isinstance(held, dict) and held.get("turn") == turn and _finite(held.get("epsilon")):
        epsilon = float(held["epsilon"])
    mount("plane", {**data, "epsilon": epsilon, "turn": turn}, key=key, states={"left": None})
    return min(data["epsilons"], key=lambda at: abs(at - epsilon))


def plane_data(
    sides: Sequence[Side],
    class_names: Sequence[str],
    colours: Mapping[int, str],
    *,
    label: int,
    axes: tuple[str, str],
    file_name: str,
) -> dict[str, Any]:
    """What the browser draws; `token` changes when any of it does. ε stands at 0.

    `colours` gives each class that occurs in a map its colour, `axes` names the two directions. All sides share image, reach
    and track.
    """
    first, epsilons = sides[0].plane, sides[0].seen.epsilons
    found = {
        "epsilons": list(epsilons),
        "shape": list(first.image.shape),
        "clean": _text(to_bytes(first.image)),
        "names": list(class_names),
        "colours": {str(place): colour for place, colour in colours.items()},
        "label": label,
        "axes": list(axes),
        "reach": list(first.reach),
        "file": file_name,
        "models": [_side(side) for side in sides],
    }
    token = hashlib.sha256(repr(sorted(found.items(), key=lambda item: item[0])).encode()).hexdigest()[:16]
    return found | {"token": token, "epsilon": 0.0, "turn": ""}


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _side(side: Side) -> dict[str, Any]:
    shares, answers = side.seen.shares.max(1)
    return {
        "role": side.role,
        "title": side.title,
        "colour": side.colour,
        "u": _text((side.plane.u * 127).round().to(torch.int8)),
        "v": _text((side.plane.v * 127).round().to(torch.int8)),
        "side": side.found.side,
        "classes": _text(side.found.classes.to(torch.int16)),
        "confidence": _text(to_bytes(side.found.confidence)),
        "box": side.plane.box().round(6).tolist(),
        "path": [[round(value, 5) for value in place] for place in side.plane.path(side.seen).tolist()],
        "answers": answers.tolist(),
        "shares": [round(share, 5) for share in shares.tolist()],
        "frames": None if side.seen.frames is None else _text(side.seen.frames),
        "fooled": side.fooled_at,
    }


def _text(tensor: torch.Tensor) -> str:
    """The tensor's bytes, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(tensor.cpu().numpy()).tobytes()).decode()
