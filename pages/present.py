"""Present: states of the app's pages, collected in a list and shown one after another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from ui import frame
from ui.actions import attempt, problem
from ui.components.presenter import presenter
from ui.deck import (
    MOST_BYTES,
    MOST_NOTES,
    MOST_TITLE,
    Deck,
    Screen,
    from_json,
    held,
    hold,
    open_link,
    revision,
    to_json,
    to_text,
)
from ui.downloads import offer_file
from ui.frame import asked_for, heading, number, remember
from ui.glossary import tell
from ui.lessons.reading import lessons
from ui.lessons.screens import screens
from ui.words import markdown_safe

_OPENED = "uploaded deck"


def page() -> None:
    """A button that begins the show, the list of screens with their notes, and files."""
    heading("Present")
    tell(
        "“Add to presentation” at the foot of every page puts the page, as it is set, on this list. The screens are the live "
        "pages in large type: ε can be dragged in front of the class.",
        key="present",
    )
    if (text := asked_for("deck")) and not attempt(open_link, text):
        st.error(markdown_safe(problem() or ""))
    place = int(number("at", 0, 1000, 0, scope="deck"))
    deck = held()
    at = None
    if deck:
        at = presenter(deck, place - 1 if 0 < place <= len(deck) else None)
        st.caption(
            "Keys: → and ←, or Page Down and Page Up (a clicker): next and previous screen. F: full screen. N: notes in a "
            "second window. Q: the screen's QR code. If a control uses the arrow keys itself, press Esc first."
        )
        for number_, screen in enumerate(deck):
            row(deck, number_, screen)
    else:
        st.info("The list is empty. Add a page at its foot, or add a lesson below.", icon=":material/playlist_add:")
    files(deck)
    remember(deck=to_text(deck) if deck else None, at=None if at is None else at + 1)


def row(deck: Deck, place: int, screen: Screen) -> None:
    """A screen of the list: its title and notes, and the buttons that move or remove it."""
    key = f"{revision()} {place}"
    rest = (*deck[:place], *deck[place + 1 :])

    def written() -> None:
        title, notes = (st.session_state[f"{name} {key}"] for name in ("title", "notes"))
        put(lambda: (*deck[:place], Screen(screen.page, screen.state, title, notes), *deck[place + 1 :]), fresh=False)

    def moved(by: int) -> None:
        put(lambda: (*rest[: place + by], screen, *rest[place + by :]))

    with st.container(border=True, key=f"screen {place}"):
        what, told, buttons = st.columns([4, 6, 2.4], vertical_alignment="bottom")
        what.text_area(f"Title {place + 1}", screen.title, 68, MOST_TITLE, key=f"title {key}", on_change=written)
        told.text_area(f"Notes {place + 1}", screen.notes, 68, MOST_NOTES, key=f"notes {key}", on_change=written)
        with buttons.container(horizontal=True, gap="small"):
            for words, icon, by, off in (
                ("Move up", "arrow_upward", -1, place == 0),
                ("Move down", "arrow_downward", 1, place == len(deck) - 1),
            ):
                icon = f":material/{icon}:"
                st.button("", icon=icon, help=words, key=f"{words} {key}", disabled=off, on_click=moved, args=(by,))
            remove = partial(put, lambda: rest)
            st.button("", icon=":material/delete:", help="Remove", key=f"remove {key}", on_click=remove)


def files(deck: Deck) -> None:
    """The lessons to add, and the list as a file to download and to open."""
    found, _ = lessons()
    by_title = {lesson.title: lesson for lesson in found}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        title = st.selectbox("A lesson", list(by_title), width=280)
        add = partial(put, lambda: (*held(), *screens(by_title[title])))
        st.button("Add its three steps", icon=":material/playlist_add:", on_click=add)
        if deck:
            offer_file("Download the list", lambda: to_json(deck), "deck.json")
            st.button("Clear the list", icon=":material/delete_sweep:", on_click=partial(put, tuple))
    st.file_uploader("Open a list from a file", type="json", max_upload_size=1, key=_OPENED, on_change=opened)


def put(make: Callable[[], Deck], *, fresh: bool = True) -> bool:
    """Make a deck and show it, with `fresh` controls; a broken or too long one changes nothing. Returns whether it worked."""
    return attempt(lambda: hold(make(), fresh=fresh))


def opened() -> None:
    """Replace the list by the uploaded one."""
    if file := st.session_state.get(_OPENED):
        put(lambda: from_json(file.read(MOST_BYTES + 1)))


if __name__ == "__main__":
    frame.run()
