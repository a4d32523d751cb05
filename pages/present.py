"""Present: states of the app's pages, collected into a deck and shown one after another."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from advcore.errors import AdvcoreError
from ui import frame
from ui.components.presenter import presenter
from ui.deck import MOST_BYTES, MOST_NOTES, MOST_TITLE, Deck, Screen, from_json, from_text, held, hold, to_json, to_text
from ui.downloads import offer_file
from ui.frame import asked_for, heading, number, remember
from ui.glossary import tell
from ui.lessons.reading import lessons
from ui.lessons.screens import screens
from ui.words import markdown_safe

_REVISION = "revision of the deck"
_PROBLEM = "problem of the deck"
_OPENED = "uploaded deck"


def page() -> None:
    """A button that begins the show, the list of screens with their notes, and files."""
    heading("Present")
    tell(
        "Every page has “Add to presentation” at its foot: it puts the page, as it is set, on this list. The screens are the "
        "live pages in large type, so that ε can be dragged in front of the class.",
        key="present",
    )
    if text := asked_for("deck"):
        attempt(lambda: from_text(text))
    place = int(number("at", 0, 1000, 0, scope="deck"))
    if problem := st.session_state.pop(_PROBLEM, None):
        st.error(markdown_safe(problem))
    deck = held()
    at = None
    if deck:
        at = presenter(deck, place - 1 if 0 < place <= len(deck) else None)
        st.caption(
            "Keys: → and ←, or Page Down and Page Up (a clicker), turn the page. F: full screen. N: notes in a second window. "
            "Q: the screen's QR code. Where a control uses the arrow keys itself, press Esc first."
        )
        for number_, screen in enumerate(deck):
            row(deck, number_, screen)
    else:
        st.info(
            "The list is empty. Add the page that you want to show, or begin with a lesson.", icon=":material/playlist_add:"
        )
    files(deck)
    remember(deck=to_text(deck) if deck else None, at=None if at is None else at + 1)


def row(deck: Deck, place: int, screen: Screen) -> None:
    """A screen of the list: its title and notes, and the buttons that move or remove it."""
    key = f"{st.session_state.get(_REVISION, 0)} {place}"

    def written() -> None:
        title, notes = (st.session_state[f"{name} {key}"] for name in ("title", "notes"))
        change((*deck[:place], Screen(screen.page, screen.state, title, notes), *deck[place + 1 :]))

    def moved(by: int) -> None:
        rest = [*deck[:place], *deck[place + 1 :]]
        rest.insert(place + by, screen)
        replace(tuple(rest))

    with st.container(border=True, key=f"screen {place}"):
        what, told, buttons = st.columns([4, 6, 2.4], vertical_alignment="bottom")
        what.text_area(f"Title {place + 1}", screen.title, 68, MOST_TITLE, key=f"title {key}", on_change=written)
        told.text_area(f"Notes {place + 1}", screen.notes, 68, MOST_NOTES, key=f"notes {key}", on_change=written)
        with buttons.container(horizontal=True, gap="small"):
            for words, icon, by, off in (
                ("Move up", "arrow_upward", -1, place == 0),
                ("Move down", "arrow_downward", 1, place == len(deck) - 1),
            ):
                st.button(
                    "", icon=f":material/{icon}:", help=words, key=f"{words} {key}", disabled=off, on_click=moved, args=(by,)
                )
            rest = (*deck[:place], *deck[place + 1 :])
            st.button("", icon=":material/delete:", help="Remove", key=f"remove {key}", on_click=replace, args=(rest,))


def files(deck: Deck) -> None:
    """The lessons to add, and the deck as a file, out and in."""
    found, _ = lessons()
    by_title = {lesson.title: lesson for lesson in found}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        title = st.selectbox("A lesson", list(by_title), width=280)
        st.button(
            "Add its three steps",
            icon=":material/playlist_add:",
            on_click=lambda: attempt(lambda: (*held(), *screens(by_title[title]))),
        )
        if deck:
            offer_file("Download the list", lambda: to_json(deck), "deck.json")
            st.button("Clear the list", icon=":material/delete_sweep:", on_click=replace, args=((),))
    st.file_uploader("Open a list from a file", type="json", max_upload_size=1, key=_OPENED, on_change=opened)


def opened() -> None:
    """Take the uploaded list in the place of the present one."""
    if file := st.session_state.get(_OPENED):
        attempt(lambda: from_json(file.read(MOST_BYTES + 1)))


def attempt(make: Callable[[], Deck]) -> None:
    """Make it the deck; what is wrong with it is said on the page, and the present one stays."""
    try:
        replace(make())
    except AdvcoreError as error:
        st.session_state[_PROBLEM] = str(error)


def replace(deck: Deck) -> None:
    """Make it the deck, with fresh controls."""
    if change(deck):
        st.session_state[_REVISION] = st.session_state.get(_REVISION, 0) + 1


def change(deck: Deck) -> bool:
    """Make it the deck, unless it is too long: this is said on the page."""
    try:
        hold(deck)
    except AdvcoreError as error:
        st.session_state[_PROBLEM] = str(error)
        return False
    return True


if __name__ == "__main__":
    frame.run()
