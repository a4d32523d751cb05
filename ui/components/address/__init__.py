"""The browser's address line: completed in place, and reported when the person goes Back or Forward."""

from __future__ import annotations

from urllib.parse import parse_qsl

from ui.components import is_finite, mount, reported

_KEY = "address line"
_EMBED = ("embed", "embed_options")
"""What Streamlit reads for itself, and leaves out of `st.query_params`."""


def address(page: str, query: str | None, turn: int) -> None:
    """Once for each number `turn`, make `query` that of `page`'s address, without a new history entry; None leaves it."""
    mount("address", {"page": page, "query": query, "turn": turn}, key=_KEY, states=("moved",))


def moved_to() -> tuple[float, dict[str, str]] | None:
    """When the person last went Back or Forward on this page, and the query they came to; untrusted, as any address."""
    moved = reported(_KEY, "moved")
    if not isinstance(moved, dict) or not is_finite(moved.get("at")) or not isinstance(moved.get("query"), str):
        return None
    query = dict(parse_qsl(moved["query"][:8192], keep_blank_values=True, max_num_fields=100))
    return float(moved["at"]), {name: value for name, value in query.items() if name not in _EMBED}
