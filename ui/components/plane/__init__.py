"""Decision maps to look around in: the image at any point is computed in the browser, so that pointing asks no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from advcore.epsilon import nearest
from advcore.evaluation.plane import DecisionMap, Plane
from advcore.evaluation.scrub import Scrub
from advcore.images.encode import to_bytes
from ui.components import left_at, mount, packed, token


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
    epsilon = float(left_at(key, turn).get("epsilon", epsilon))
    mount("plane", {**data, "epsilon": epsilon, "turn": turn}, key=key, states=("left",))
    return nearest(data["epsilons"], epsilon)


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
        "clean": packed(to_bytes(first.image)),
        "names": list(class_names),
        "colours": {str(place): colour for place, colour in colours.items()},
        "label": label,
        "axes": list(axes),
        "reach": list(first.reach),
        "file": file_name,
        "models": [_side(side) for side in sides],
    }
    return found | {"token": token(found), "epsilon": 0.0, "turn": ""}


def _side(side: Side) -> dict[str, Any]:
    shares, answers = side.seen.shares.max(1)
    return {
        "role": side.role,
        "title": side.title,
        "colour": side.colour,
        "u": packed((side.plane.u * 127).round().to(torch.int8)),
        "v": packed((side.plane.v * 127).round().to(torch.int8)),
        "side": side.found.side,
        "classes": packed(side.found.classes.to(torch.int16)),
        "confidence": packed(to_bytes(side.found.confidence)),
        "box": side.plane.box.round(6).tolist(),
        "path": [[round(value, 5) for value in place] for place in side.plane.path(side.seen).tolist()],
        "answers": answers.tolist(),
        "shares": [round(share, 5) for share in shares.tolist()],
        "frames": None if side.seen.frames is None else packed(side.seen.frames),
        "fooled": side.fooled_at,
    }
