"""Slides that stay alive: a component of the app with its data in one HTML file, which needs no server and no network."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import streamlit as st
from markupsafe import Markup

from advcore import __version__
from advcore.data import Dataset, LabeledImages
from ui.components import source
from ui.downloads import offer_file

_HERE = Path(__file__).parent
_EXPORTED = "export default function (component) {"
_COLOURS = {
    "--st-text-color": ("textColor", "CanvasText"),
    "--st-background-color": ("backgroundColor", "Canvas"),
    "--st-secondary-background-color": ("secondaryBackgroundColor", "Canvas"),
    "--st-border-color": ("borderColor", "GrayText"),
    "--st-primary-color": ("primaryColor", "LinkText"),
}
"""The variables that Streamlit gives a component: the theme's option, and the browser's own colour where it is not set."""


@dataclass(frozen=True)
class Slide:
    """A component with the data that the app gives it, and what is to be read around it. All text is untrusted.

    `origin` says which models are shown, `licence` whose images and under which terms; `link` opens the same state in the app.
    """

    component: str
    data: Mapping[str, Any]
    title: str
    caption: str
    origin: str
    licence: str
    link: str | None = None


def slide_html(slide: Slide) -> str:
    """The whole file. A policy in it forbids every request to a network, and every script and style but its own."""
    code = source(slide.component, ".js")
    assert code.count(_EXPORTED) == 1, slide.component
    script = f"{code.replace(_EXPORTED, 'function component_(component) {')}\n{_text('slide.js')}"
    styles = {"page": f":root {{ {_theme()} }}\n{_text('slide.css')}", "component": source(slide.component, ".css")}
    link = slide.link if slide.link and slide.link.startswith(("http://", "https://")) else None
    return _template().render(
        slide=slide,
        version=__version__,
        link=link,
        policy=_policy([script], list(styles.values())),
        styles={name: Markup(text) for name, text in styles.items()},
        data=Markup(_json(slide.data)),
        script=Markup(script),
    )


def offer_slide(slide: Callable[[], Slide], file_name: str) -> None:
    """A button that downloads the slide; it is made when the button is clicked."""
    offer_file(
        "Living slide (HTML)",
        lambda: slide_html(slide()),
        f"{file_name}.html",
        "slideshow",
        help="One file for a lesson or a talk: ε can still be dragged, without the app and without a network.",
    )


def models_shown(models: Iterable[Any]) -> str:
    """The origin of a slide that shows these models."""
    return f"Models: {', '.join(dict.fromkeys(model.id for model in models))}."


def licence(info: Dataset, images: LabeledImages) -> str:
    """Whose images they are."""
    return info.credit or f"{info.title}, {images.source}"


def _theme() -> str:
    """The colours of both themes, and the font, as CSS variables."""
    found = [f"--st-font: {st.get_option('theme.font') or 'system-ui, sans-serif'}"]
    for variable, (option, system) in _COLOURS.items():
        light, dark = (st.get_option(f"theme.{theme}.{option}") or system for theme in ("light", "dark"))
        found.append(f"{variable}: light-dark({light}, {dark})")
    return "; ".join(found)


def _policy(scripts: list[str], styles: list[str]) -> str:
    """The Content-Security-Policy: nothing but the scripts and styles with these texts, and images within the file."""

    def hashes(texts: list[str]) -> str:
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes(scripts)}; style-src {hashes(styles)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _json(data: Mapping[str, Any]) -> str:
    """JSON for a script element: no name in it can end the element or begin a comment."""
    text = json.dumps(data)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


@functools.cache
def _text(name: str) -> str:
    return (_HERE / name).read_text()


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_HERE)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template("slide.html")
