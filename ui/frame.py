"""What surrounds every page: its style, the last error guard, and its state in the address (URL).

A value from the address is untrusted: it is only looked up among the values that the control offers.

The address names the whole state of a page: Back, Forward, a reload and a copied link return to it. It is written at the end of
each run: in place if the page was just opened, after an action as a new entry of the browser's history.
"""

from __future__ import annotations

import gc
import runpy
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import streamlit as st

from advcore.epsilon import read_epsilon
from advcore.errors import AdvcoreError, AttackError
from ui import actions, glossary, share, visitor
from ui.components import deck_store
from ui.components.address import address, moved_to
from ui.words import markdown_safe

T = TypeVar("T")
APP = Path(__file__).parents[1] / "app.py"
_modules = 0
"""How many modules were loaded when `gc.freeze` was called last."""


@dataclass
class _Session:
    """What a session's pages and its address have said so far."""

    page: str | None = None
    now: list[dict[str, str]] = field(default_factory=list)
    """The addresses that the browser may have on this page until an action changes the state; the last one is the state's."""
    before: list[dict[str, str]] = field(default_factory=list)
    """Earlier addresses of this page, which requests on their way may still name."""
    moved: float | None = None
    """When the person last went Back or Forward."""
    opened: bool = False
    """The page was opened by its address and is not drawn yet."""
    writes: int = 0
    """How often the address was completed in place."""
    turn: int = 0
    """How often the state was set by an address or by `go`."""
    asked: dict[str, str] = field(default_factory=dict)
    """The values that the address or `go` asks for, until the page was drawn with them."""
    read: set[str] = field(default_factory=set)
    """The names of those that were read."""
    full: bool = False
    """They are the whole state: what they leave out is at its default."""
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By name: a value asked for that is not available, and the one used instead."""
    state: dict[str, str] = field(default_factory=dict)
    """The state of the page, as its address names it."""
    kept: dict[str, object] = field(default_factory=dict)
    """The session's last values, by name and by `name:scope`."""
    controls: set[str] = field(default_factory=set)
    """The keys of the controls of this page."""


def _session() -> _Session:
    return st.session_state.setdefault("address", _Session())


class Finished(Exception):
    """Raised by a part of a page when there is nothing more to draw."""


def run() -> None:
    """Run the whole app from the file of one page.

    Until the first session has called `st.navigation`, Streamlit runs the file in `pages/` that a link names by itself.
    """
    runpy.run_path(str(APP), run_name="__main__")


def show(page: Any) -> None:
    """Run the page that `st.navigation` chose, with the app's style."""
    st.html(_CSS)
    visitor.keep()
    if presented():
        st.html(_EMBEDDED_CSS)
    elif deck_store.keep():
        _session().opened = True  # not an action of the person: the address is completed in place
    share.begin(f"{page.title} – Adversarial Lab")
    guard(page.run, page.url_path)
    if not presented():
        glossary.words()
        share.offer(here(), page.url_path or "attack", remembered())
        visitor.foot()


def guard(draw: Callable[[], None], page: str = "") -> None:
    """Draw the page, with an error of the engine as a message; then say what was not available, and write the address."""
    notice = st.empty()
    if problem := actions.problem():
        notice.error(markdown_safe(problem))
    in_place = _arrive(page)
    try:
        draw()
    except AdvcoreError as error:
        st.error(markdown_safe(str(error)))
    except Finished:
        pass
    _report(notice)
    _write_address(in_place)
    _keep_modules()


def _keep_modules() -> None:
    """Leave what loaded modules hold out of garbage collection, which Streamlit starts after every run.

    It is never garbage, and searching it takes 0.2 s, during which no other thread runs.
    """
    global _modules
    if len(sys.modules) != _modules:
        _modules = len(sys.modules)
        gc.freeze()


def presented() -> bool:
    """Whether the page is a screen of a presentation, which shows one idea. Containers with a key `aside…` are hidden there."""
    return bool(st.context.is_embedded)


def phone() -> bool:
    """Whether the browser says that it is a phone's, on whose screen a margin beside a chart has no room."""
    return "Mobi" in (st.context.headers.get("User-Agent") or "")


def enough() -> None:
    """End the page here if it is a screen of a presentation; raises Finished then."""
    if presented():
        raise Finished


def heading(text: str, *, help: str | None = None, wide: bool = False) -> None:
    """The page's heading. A `wide` page uses the whole width of a projector."""
    share.shows(text)
    with st.container(key="wide" if wide else None):
        st.markdown(f"# {text}", help=help)


# --- the address ---------------------------------------------------------------------------------------------------------


def _arrive(page: str) -> bool:
    """Take over the address when it is a new one. Returns whether it is to be completed in place."""
    session, asked, moved = _session(), st.query_params.to_dict(), moved_to()
    back = moved is not None and moved[0] != session.moved
    if back:
        session.moved, asked = moved
    if back or session.page != page or asked not in [*session.now, *session.before]:
        session.before = [*session.before, *session.now][-100:] if back and session.page == page else []
        session.page, session.now = page, [asked]
        go(asked, full=bool(asked))
        session.state, session.opened = dict(asked), True
    else:
        session.state = dict(session.now[-1])
    # An action that was taken before the browser had the last address shares its entry in the history.
    return session.opened or asked not in session.now


def go(values: dict[str, str], *, full: bool = False) -> None:
    """Set the state to these values, as if the page had been opened by a link that names them.

    What they leave out is as the session last had it; with `full`, at its default.
    """
    session = _session()
    session.asked, session.full, session.turn = dict(values), full, session.turn + 1
    drop_controls()


def turn() -> str:
    """Changes when an address or `go` sets the state: what a component reported before no longer holds."""
    return str(_session().turn)


def _write_address(in_place: bool) -> None:
    """Make the address name the state, with a new entry in the browser's history if it changed by an action."""
    session = _session()
    if in_place:
        session.now, session.writes = [*session.now, session.state], session.writes + 1
    elif session.state != session.now[-1]:
        session.before, session.now = [*session.before, *session.now][-100:], [session.state]
        st.query_params.from_dict(session.state)
    address(session.page or "", urlencode(session.state) if in_place else None, session.writes)
    # What no part of the page has read yet is kept: it may be the id of a photo that is uploaded later.
    session.asked = {name: value for name, value in session.asked.items() if name not in session.read}
    session.read, session.full, session.opened = set(), False, False


def drop_controls(*, keep: str | None = None) -> None:
    """Drop the values of all controls that `chosen` set, except the one with the key `keep`.

    For a page that takes another's place: Streamlit shows the first option of a control whose key an earlier one had.
    """
    for key in _session().controls - {keep}:
        st.session_state.pop(key, None)


def chosen(name: str, options: Sequence[T], default: T, *, key: str | None = None, text: Callable[[T], str] = str) -> str:
    """Set the value of the control that is drawn next and return its key; the value is one of `options`.

    It is the first available of: the control's own value, the address's value of `name`, the session's last value, `default`.
    `text` is how the address writes an option. A `key` of the form `name:scope` keeps a value for each scope (a dataset).
    """
    key = _control(key or name)
    if st.session_state.get(key) in options:
        return key
    by_text = {text(option): option for option in options}
    asked, kept = asked_for(name), _kept(key)
    st.session_state[key] = by_text.get(asked, kept if kept in options else default)
    if asked is not None and asked not in by_text:
        _refuse(name, asked, text(st.session_state[key]))
    return key


def choose(
    widget: Callable[..., Any],
    label: str,
    name: str,
    options: Iterable[T],
    default: T | None = None,
    *,
    key: str | None = None,
    bare: bool = False,
    **more: Any,
) -> Any:
    """Draw a control (`st.selectbox`, `st.pills` …) whose value `chosen` sets; returns the value.

    `options` are the values, or by value how each is shown. The default is the first. `bare`: without a visible label.
    """
    values = list(options)
    if isinstance(options, Mapping):
        more["format_func"] = options.get
    if bare:
        more["label_visibility"] = "collapsed"
    return widget(label, values, key=chosen(name, values, values[0] if default is None else default, key=key), **more)


def chosen_several(name: str, options: Sequence[str], default: Sequence[str], *, key: str | None = None) -> str:
    """As `chosen`, for a control with several values; the address joins them with `~`."""
    key = _control(key or name)
    held = st.session_state.get(key)
    if held is not None and all(value in options for value in held):
        return key
    asked = [value for value in (asked_for(name) or "").split("~") if value]
    found = [value for value in asked if value in options]
    kept = [value for value in str(_kept(key) or "").split("~") if value in options]
    st.session_state[key] = found or kept or list(default)
    if len(found) < len(asked):
        missing = "~".join(value for value in asked if value not in options)
        _refuse(name, missing, ", ".join(st.session_state[key]))
    return key


def _control(key: str) -> str:
    """The key, noted as one of this page's controls."""
    _session().controls.add(key)
    return key


def asked_for(name: str) -> str | None:
    """The value of `name` that the address or `go` asks for, until the page was drawn with it."""
    _session().read.add(name)
    return _session().asked.get(name)


def _kept(key: str) -> object:
    """The value that the session last had; None where the whole state is asked for."""
    return None if _session().full else _session().kept.get(key)


def number(name: str, low: float, high: float, default: float, *, scope: str) -> float:
    """The number in the address, or the session's last one in this scope, if within [low, high]; else the default.

    If the address has another value, the page says so.
    """
    asked = asked_for(name)
    found = default
    for text in (_kept(f"{name}:{scope}"), asked):
        value = _number(text)
        if value is not None and low <= value <= high:
            found = value
    value = _number(asked)
    if asked is not None and (value is None or not low <= value <= high):
        _refuse(name, asked, f"{found:.6g}")
    # The address holds six digits: these must come back as the numbers they were, or nothing measured at them is found again.
    exact = (default, round(255 * found) / 255)
    return next((value for value in exact if f"{found:.6g}" == f"{value:.6g}"), found)


def chosen_number(name: str, low: float, high: float, default: float, *, scope: str, key: str) -> str:
    """As `chosen`, for a number in [low, high]."""
    if _control(key) not in st.session_state:
        st.session_state[key] = number(name, low, high, default, scope=scope)
    return key


def _number(text: object) -> float | None:
    try:
        return read_epsilon(str(text))
    except AttackError:
        return None


def keep(scope: str = "", /, **values: object) -> None:
    """Keep values in the session as `remember` does, for the next time the page is drawn; None forgets one."""
    kept = _session().kept
    for name, value in values.items():
        for key in (name, f"{name}:{scope}"):
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value


def remember(scope: str = "", /, **values: object) -> None:
    """Put the values into the page's address, and keep them in the session; None removes one.

    `chosen` and `number` find them again in the same `scope` (a dataset).
    """
    keep(scope, **values)
    state = _session().state
    for name, value in values.items():
        if value is None:
            state.pop(name, None)
        else:
            state[name] = f"{value:.6g}" if isinstance(value, float) else str(value)


def remembered() -> dict[str, str]:
    """What the page has remembered so far, as the address writes it."""
    return dict(_session().state)


def here() -> str | None:
    """The address that opens this page as it was remembered so far; None without a browser."""
    base = st.context.url
    return f"{base}?{urlencode(_session().state)}" if base else None


def _refuse(name: str, asked: str, used: str) -> None:
    _session().refused[name] = (asked[:60], used[:60])


def _report(notice: Any) -> None:
    """Say once which values of the link are not available, and what is used instead."""
    refused, _session().refused = _session().refused, {}
    if refused:
        said = [f"{_plain(name)} “{_plain(asked)}” (used instead: {_plain(used)})" for name, (asked, used) in refused.items()]
        notice.warning(f"The link asks for what this page does not have: {', '.join(said)}.", icon=":material/link_off:")


def _plain(text: str) -> str:
    """Untrusted text without the characters that Markdown interprets."""
    return "".join(sign for sign in text if sign.isalnum() or sign in " ._-/+,:")


_EMBEDDED_CSS = """
<style>
:root { --header: 0px; --larger: 1.15; --list-text: 1rem; --above-list: 11rem;
  --picture: min(20rem, 29vh); --map: min(36rem, 48vh); font-size: clamp(16px, min(1.3vw, 2.2vh), 40px); }
[data-testid="stHeader"], [data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], .st-key-picks, .st-key-tours,
[class*="st-key-aside"] { display: none; }
[data-testid="stMainBlockContainer"], [data-testid="stMainBlockContainer"]:has(.st-key-wide) {
  max-width: 100rem; padding: 1rem 2rem; }
</style>
"""
"""A page in the presenter view: in large type, without the controls that choose something else."""

_CSS = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 4.2rem; padding-bottom: 3rem; max-width: 80rem; }
[data-testid="stMainBlockContainer"]:has(.st-key-wide) { max-width: 118rem; padding-left: 3rem; padding-right: 3rem; }
[data-testid="stMainBlockContainer"] > [data-testid="stVerticalBlock"]:has(.st-key-wide) { gap: .6rem; }
[data-testid="stSidebarHeader"] { height: 2.5rem; margin-bottom: 0; }
[data-testid="stSelectbox"] input { text-overflow: ellipsis; }
[data-testid="stSidebar"] [data-testid="stSelectbox"] input { font-size: .8125rem; }
h1 { font-size: clamp(1.3rem, 2.1vw, 1.9rem) !important; padding: 0 !important; }
h2 { font-size: 1.2rem !important; padding: .6rem 0 .2rem !important; }
h3 { font-size: 1.05rem !important; padding: .4rem 0 .2rem !important; }
[data-testid="stMarkdownContainer"]:has(h1, h2, h3) { margin-bottom: 0; }
/* White on the dark theme's light blue could not be read. */
[data-testid="stBaseButton-primary"]:enabled, [data-testid="stBaseButton-primary"]:enabled *,
[data-testid="stMultiSelect"] [data-tag], [data-testid="stMultiSelect"] [data-tag] * { color: light-dark(#fff, #08131c); }
[data-testid="stCaptionContainer"] { opacity: 1 !important; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] :not(a, a *) { color: light-dark(#55606b, #aab4bd); }
.st-key-visitor, .st-key-deck-store { display: none; }
/* It covers the chart; the buttons below the chart save it through this bar, and a double click resets it. */
.js-plotly-plot .modebar { display: none; }
.st-key-tours button { border-radius: 999px; min-height: 2.2rem; padding: .1rem .8rem; }
.st-key-picks > div { min-width: 8rem; } .st-key-picks > div:first-child { min-width: 12.5rem; }
.st-key-picks > div:last-child { min-width: 10.4rem; } .st-key-picks > div:has(> .st-key-models) { flex: 60 1 24rem; }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"], [data-testid="stMainBlockContainer"]:has(.st-key-wide) { padding: 3.6rem .8rem 2rem; }
  .st-key-figure-transfer-chart { overflow-x: auto; } .st-key-figure-transfer-chart > div { min-width: 46rem; }
  .st-key-source button { padding: .2rem .55rem; font-size: .85rem; }
  .st-key-source span:has(> [data-testid="stIconMaterial"]) { display: none; }
  .st-key-tours { flex-wrap: nowrap; overflow-x: auto; } .st-key-tours > div { flex: none; }
  .st-key-picks > div, .st-key-picks > div:first-child, .st-key-picks > div:last-child { min-width: calc(50% - .5rem); }
  .st-key-picks > div:has(> .st-key-models), .st-key-models > div { min-width: 100%; }
}
</style>
"""
