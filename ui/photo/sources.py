"""Where a photo comes from: examples, files, the camera or the drawing pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from advcore.errors import AdvcoreError
from advcore.images import apart
from advcore.images.decode import Photo
from advcore.images.levels import LIMITS
from advcore.photos import digits
from advcore.photos.subjects import SUBJECTS, guess
from ui.components.camera import camera, sent_by
from ui.components.drawing_pad import drawing_pad
from ui.components.gallery import gallery
from ui.frame import asked_for, chosen, remember
from ui.photo import session
from ui.photo.models import kind_of, turn_to
from ui.words import markdown_safe

SOURCES = {
    "examples": ":material/collections: Examples",
    "upload": ":material/upload: Upload",
    "camera": ":material/photo_camera: Camera",
    "draw": ":material/draw: Draw",
}
INVITATIONS = {
    "upload": "Choose one picture or several, or drop them here. A photo from a phone works well.",
    "camera": "Allow the camera, then take a photo of a car, a pet, or a digit on paper.",
    "draw": "Draw with mouse, finger or pen. The models answer after every stroke.",
}
_PICKED = {"upload": "picture:upload", "camera": "picture:camera"}
"""By source: the key under which the session keeps which of its own photos is shown."""


@dataclass(frozen=True)
class Given:
    """A photo with its id, the name of its class where that is known, as for examples, and its origin and licence."""

    id: str
    photo: Photo
    label: str | None = None
    credit: str = "the person's own"


def photo_from(source: str, dataset: str) -> Given | None:
    """Draw the controls of a source; returns the photo chosen there. What is wrong with a file is said on the page."""
    if source != "examples":
        apart.warm()
    if source not in _PICKED:
        remember(picture=None)
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


def source_changed() -> None:
    """Choose models that fit: for digits before a drawing, else for the photo that is shown again."""
    source = st.session_state["source"]
    if source == "draw":
        turn_to(SUBJECTS["digit"])
    if photo_id := st.session_state.get(_PICKED.get(source)):
        turn_to(session.uploads().kinds.get(photo_id, ""))


def forget() -> None:
    """Drop every photo of this session, with the widgets that hold them."""
    session.forget()
    for key in _PICKED.values():
        st.session_state.pop(key, None)
    # A widget is emptied by giving it another name.
    st.session_state["round"] = _round() + 1


def _round() -> int:
    return st.session_state.get("round", 0)


def fitting_example() -> None:
    """Choose the first example of the kind that the person named, if examples are shown."""
    if st.session_state["source"] == "examples":
        dataset = st.session_state["dataset"]
        st.session_state["example"] = _first(session.example_strip(dataset)[0], dataset).id


def _first(shown: Sequence[session.Shown], dataset: str) -> session.Shown:
    return next((item for item in shown if kind_of(item.dataset) == kind_of(dataset)), shown[0])


def _from_examples(dataset: str) -> Given:
    shown, strip = session.example_strip(dataset)
    by_id = {item.id: item for item in shown}
    key = chosen("example", list(by_id), _first(shown, dataset).id)
    picked = by_id[st.session_state[key]]

    def pick(index: int) -> None:
        st.session_state[key] = shown[index].id
        turn_to(kind_of(shown[index].dataset))

    gallery(strip, range(len(shown)), shown.index(picked), noun="Example", key="examples", on_pick=pick)
    return Given(picked.id, session.example(picked.dataset, picked.id), picked.label, picked.credit)


def _from_upload() -> Given | None:
    key = f"uploads {_round()}"
    st.file_uploader(
        f"Your pictures: {LIMITS}", accept_multiple_files=True, key=key, on_change=_take_in, args=(key,), width="stretch"
    )
    return _from_own(session.uploads().uploaded, "upload", "Picture")


def _take_in(key: str) -> None:
    """Keep the photos that the uploader holds, drop all others, and show the first new one."""
    uploads, ids = session.uploads(), []
    before = uploads.uploaded
    uploads.problems.clear()
    for file in st.session_state.get(key) or []:
        photo_id = uploads.put(file.name, file.getvalue())
        ids += [photo_id] if photo_id else []
    for photo_id in set(before) - set(ids):
        session.drop(photo_id)
    uploads.uploaded = tuple(dict.fromkeys(ids))
    if new := [photo_id for photo_id in ids if photo_id not in before]:
        _show("upload", new[0])


def _from_camera() -> Given | None:
    """The camera until a photo is taken, then that photo; a button goes back to the camera."""
    uploads = session.uploads()
    if uploads.taken and not uploads.camera_on:
        again = partial(setattr, uploads, "camera_on", True)
        st.button("Take another photo", icon=":material/photo_camera:", on_click=again)
        return _from_own(uploads.taken, "camera", "Photo")
    key = f"camera {_round()}"
    camera(key=key, on_photo=partial(_take_photo, key))
    _say_problems()
    return None


def _take_photo(key: str) -> None:
    """Keep the photo that the camera sent, and show it."""
    uploads = session.uploads()
    uploads.problems.clear()
    try:
        content = sent_by(key)
    except AdvcoreError as error:
        uploads.problems["photo"] = str(error)
        return
    if content is not None and (photo_id := uploads.put(f"photo {len(uploads.taken) + 1}.jpg", content)):
        uploads.taken, uploads.camera_on = (*uploads.taken, photo_id), False
        _show("camera", photo_id)


def _from_pad(dataset: str) -> Given | None:
    hint = "Draw a digit" if digits.form_of(dataset) else "Draw something"
    drawing = drawing_pad(key=f"pad {_round()}", hint=hint, kept=session.uploads().drawn)
    session.uploads().drawn = drawing
    if drawing is None:
        return None
    photo_id = session.identity(drawing)
    return Given(photo_id, session.made(("drawing", photo_id), lambda: session.decoded(drawing, "drawing.png")))


def _show(source: str, photo_id: str) -> None:
    """Show one of the session's own photos, with models for what it seems to be unless the person said what it is."""
    st.session_state[_PICKED[source]] = photo_id
    uploads = session.uploads()
    turn_to(uploads.kinds.setdefault(photo_id, SUBJECTS[guess(uploads.photos[photo_id])]))


def note_kind(source: str, photo_id: str, dataset: str) -> None:
    """Note that the person looks at this photo of their own with models for this kind of picture."""
    if source in {"upload", "camera"}:
        session.uploads().kinds[photo_id] = kind_of(dataset)


def _say_problems() -> None:
    for words in session.uploads().problems.values():
        st.error(markdown_safe(words), icon=":material/broken_image:")


def _from_own(ids: tuple[str, ...], source: str, noun: str) -> Given | None:
    """One of the session's own photos, chosen in a strip; what was wrong with other files is said above it."""
    uploads = session.uploads()
    _say_problems()
    ids = tuple(photo_id for photo_id in ids if photo_id in uploads.photos)
    if not ids:
        if asked_for("picture"):
            st.info(
                "The picture of this address was kept only until its page was closed. Choose it again.", icon=":material/image:"
            )
        remember(picture=None)
        return None
    picked = st.session_state[chosen("picture", ids, ids[-1], key=_PICKED[source])]
    remember(source, picture=picked)
    if len(ids) > 1:
        photos = [uploads.photos[photo_id] for photo_id in ids]
        strip = session.made(("strip", ids), lambda: session.strip(photos, [photo.name for photo in photos]))
        gallery(
            strip,
            range(len(ids)),
            ids.index(picked),
            noun=noun,
            key=f"strip:{source}",
            on_pick=lambda index: _show(source, ids[index]),
        )
    return Given(picked, uploads.photos[picked])
