"""Two buttons below a row of pictures that save it as PNG and SVG at the size of a slide."""

from __future__ import annotations

from ui.components import mount


def picture_files(name: str) -> None:
    """Draw the buttons for the row in the same container; `name` is the file's, and the only one of that name on the page."""
    mount("picture_files", {"name": name}, key=f"files of {name}")
