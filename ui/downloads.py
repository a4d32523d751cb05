"""Files that a page offers."""

from __future__ import annotations

import csv
import io
import mimetypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st

Row = Mapping[str, object]


def offer_file(
    label: str, content: bytes | Callable[[], bytes | str], file_name: str, icon: str = "download", **more: Any
) -> None:
    """A button that downloads a file. A function is called for its content at the click; `more` are Streamlit's options."""
    mime = mimetypes.guess_type(file_name)[0] or "application/octet-stream"
    st.download_button(label, content, file_name, mime, icon=f":material/{icon}:", on_click="ignore", **more)


def offer_csv(label: str, rows: Callable[[], Iterable[Row]], file_name: str, **more: Any) -> None:
    """A button that downloads rows as a CSV file."""
    offer_file(label, lambda: csv_text(rows()), file_name, **more)


def csv_text(rows: Iterable[Row]) -> str:
    """Rows as CSV, with the names of the first row's fields on top."""
    rows, buffer = list(rows), io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
