"""Where a photo comes from: examples, files, the camera or the drawing pad. Each gives an id and a photo, or nothing."""

from __future__ import annotations

import streamlit as st

from advcore.errors import AdvcoreError
from advcore.images import apart
from advcore.images.decode import Photo
from advcore.images.levels import LIMITS
from advcore.photos import digits
from ui.components.drawing_pad import drawing_pad
from ui.components.gallery import gallery
from ui.photo import session
from ui.words import markdown_safe

SOURCES = {
    "examples": ":material/collections: Examples",
    "upload": ":material/upload: Upload",
    "camera": ":material/photo_camera: Camera",
    "draw": ":material/draw: Draw",
}
INVITATIONS = {
    "examples": "",
    "upload": "Choose one picture or several, or drop them here. A photo from a phone works well.",
    "camera": "Allow the camera, then take a photo: of a mug, a face, or a digit on a sheet of paper.",
    "draw": "Draw with mouse, finger or pen. The models answer after every stroke.",
}
Given = tuple[str, Photo] | None


def photo_from(source: str, dataset: str) -> Given:
    """Draw the controls of a source; returns the photo chosen there. What is wrong with a file is said on the page."""
    if source != "examples":
        apart.warm()
    try:
        match source:
            case "upload":
                return _from_upload()
            case "camera":
                return _from_camera()
            case "draw":
                return _from_pad(dataset)
            case _:
                return _from_examples(dataset)
    except AdvcoreError as error:
        st.error(markdown_safe(str(error)), icon=":material/broken_image:")
        return None


def forget() -> None:
    """Drop every photo of this session, with the widgets that hold them."""
    session.forget()
    for key in ("uploaded", "taken", "upload", "photo", "drawn"):
        st.session_state.pop(key, None)
    # A widget is emptied by giving it another name.
    st.session_state["round"] = st.session_state.get("round", 0) + 1


def _round() -> int:
    return st.session_state.get("round", 0)


def _picked(key: str, ids: tuple[str, ...], default: str | None) -> str:
    """The id that was clicked on; else the default."""
    if st.session_state.get(key) not in ids:
        st.session_state[key] = default if default in ids else ids[0]
    return st.session_state[key]


def _from_examples(dataset: str) -> Given:
    ids, strip = session.example_strip(dataset)
    key = f"example:{dataset}"
    picked = _picked(key, ids, st.query_params.get("example"))
    gallery(
        strip,
        range(len(ids)),
        ids.index(picked),
        noun="Example",
        key=f"examples:{dataset}",
        on_pick=lambda index: st.session_state.update({key: ids[index]}),
    )
    return picked, session.example(dataset, picked)


def _from_upload() -> Given:
    key = f"uploads {_round()}"
    st.file_uploader(
        f"Your pictures: {LIMITS}", accept_multiple_files=True, key=key, on_change=_take_in, args=(key,), width="stretch"
    )
    return _from_uploads(st.session_state.get("uploaded", ()), "upload", "Picture")


def _take_in(key: str) -> None:
    """Keep the photos that the uploader holds, and those alone; the first of the new ones is shown."""
    uploads, ids = session.uploads(), []
    before = st.session_state.get("uploaded", ())
    uploads.problems.clear()
    for file in st.session_state.get(key) or []:
        photo_id = uploads.put(file.name, file.getvalue())
        ids += [photo_id] if photo_id else []
    for photo_id in set(before) - set(ids):
        session.drop(photo_id)
    st.session_state["uploaded"] = tuple(dict.fromkeys(ids))
    if new := [photo_id for photo_id in ids if photo_id not in before]:
        st.session_state["upload"] = new[0]


def _from_camera() -> Given:
    shot = st.camera_input("Take a photo", label_visibility="collapsed", key=f"camera {_round()}")
    taken: tuple[str, ...] = st.session_state.get("taken", ())
    session.uploads().problems.clear()
    photo_id = session.uploads().put("photo.jpg", shot.getvalue()) if shot is not None else None
    if photo_id and photo_id not in taken:
        st.session_state["taken"] = taken = (*taken, photo_id)
        st.session_state["photo"] = photo_id
    return _from_uploads(taken, "photo", "Photo")


def _from_pad(dataset: str) -> Given:
    hint = "Draw a digit" if digits.form_of(dataset) else "Draw something"
    drawing = drawing_pad(key=f"pad {_round()}", hint=hint, kept=st.session_state.get("drawn"))
    st.session_state["drawn"] = drawing
    if drawing is None:
        return None
    photo_id = session.identity(drawing)
    return photo_id, session.made(("drawing", photo_id), lambda: session.decoded(drawing, "drawing.png"))


def _from_uploads(ids: tuple[str, ...], key: str, noun: str) -> Given:
    """One of the session's own photos, chosen in a strip; what was wrong with other files is said above it."""
    uploads = session.uploads()
    for words in uploads.problems.values():
        st.error(markdown_safe(words), icon=":material/broken_image:")
    ids = tuple(photo_id for photo_id in ids if photo_id in uploads.photos)
    if not ids:
        return None
    picked = _picked(key, ids, ids[-1])
    if len(ids) > 1:
        photos = [uploads.photos[photo_id] for photo_id in ids]
        strip = session.made(("strip", ids), lambda: session.strip(photos, [photo.name for photo in photos]))
        gallery(
            strip,
            range(len(ids)),
            ids.index(picked),
            noun=noun,
            key=f"strip:{key}",
            on_pick=lambda index: st.session_state.update({key: ids[index]}),
        )
    return picked, uploads.photos[picked]
