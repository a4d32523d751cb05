"""The app's browser components: a folder each, with a .py, a .js and usually a .css file.

What a browser reports is untrusted, as an upload is.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from torch import Tensor

from advcore.images.decode import PhotoError

_HERE = Path(__file__).parent


@functools.cache
def source(name: str, suffix: str) -> str:
    """A component's script (`.js`) or style (`.css`), with what all components share."""
    own = _HERE / name / f"{name}{suffix}"
    parts = [own.read_text() if own.is_file() else "", (_HERE / f"shared{suffix}").read_text()]
    return "".join(parts if suffix == ".js" else parts[::-1])


@st.cache_resource(show_spinner=False)
def _registered(name: str) -> Any:
    return st.components.v2.component(
        f"adversarial_lab_{name}", html='<div class="lab"></div>', css=source(name, ".css"), js=source(name, ".js")
    )


def mount(
    name: str,
    data: Mapping[str, Any],
    *,
    key: str,
    states: tuple[str, ...] = (),
    callbacks: Mapping[str, Callable[[], None]] | None = None,
) -> Any:
    """Show the component `name` with `data`; returns its `states`, each None until the browser reports it.

    `callbacks` names triggers, and what is called when the browser reports one, before the page is drawn again.
    """
    heard = dict.fromkeys(states, _nothing) | dict(callbacks or {})
    reports = {f"on_{event}_change": call for event, call in heard.items()}
    # Streamlit imports pandas to find out whether a list is a table. A tuple is none, and the browser gets the same.
    sent = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return _registered(name)(data=sent, key=key, default=dict.fromkeys(states), **reports)


def _nothing() -> None:
    """Streamlit keeps only the states that have a callback."""


def reported(key: str, name: str) -> Any:
    """What the browser last reported as `name` from the component `key`; None if nothing."""
    return (st.session_state.get(key) or {}).get(name)


def left_at(key: str, turn: str) -> dict[str, Any]:
    """The position, with its `epsilon`, at which a track was left since it was set to `turn`; empty if it was not moved."""
    left = reported(key, "left")
    return left if isinstance(left, dict) and left.get("turn") == turn and is_finite(left.get("epsilon")) else {}


def is_finite(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def sent_file(sent: object, most: int, what: str) -> bytes:
    """A file sent as at most `most` characters of base64. Raises PhotoError for anything else; `what` names it there."""
    try:
        if not isinstance(sent, str) or len(sent) > most:
            raise ValueError
        return base64.b64decode(sent, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PhotoError(f"The {what} was not transferred completely; try again.") from error


def packed(tensor: Tensor) -> str:
    """The tensor's bytes, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(tensor.cpu().numpy()).tobytes()).decode()


def token(data: object) -> str:
    """A short hash that changes when any of the data do."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
