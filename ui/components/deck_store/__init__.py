"""The deck in the browser's storage: a reload, a new tab and a lost connection find it again."""

from __future__ import annotations

from ui import deck
from ui.components import is_finite, mount, reported

_KEY = "deck store"


def keep() -> bool:
    """Keep the session's deck in the browser. Returns whether the one kept there, which is untrusted, was taken over now."""
    found = reported(_KEY, "deck")
    taken = (
        isinstance(found, dict)
        and isinstance(found.get("text"), str)
        and is_finite(found.get("at"))
        and deck.take_over(found["text"], found["at"])
    )
    mount("deck_store", deck.to_keep() | {"most": deck.MOST_ADDRESS}, key=_KEY, states=("deck",))
    return taken
