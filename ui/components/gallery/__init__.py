"""The gallery: test images to click on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from advcore.data import LabeledImages
from advcore.images.encode import thumbnails
from ui.components import mount, packed, reported


def gallery(
    images: LabeledImages,
    indices: Sequence[int],
    selected: int,
    *,
    noun: str = "Test image",
    key: str,
    on_pick: Callable[[int], None],
) -> None:
    """Show the images at `indices`; a click calls `on_pick` with the index before the page is drawn again."""
    few = thumbnails(images.images[list(indices)])
    message = {
        "shape": list(few.shape[1:]),
        "images": packed(few),
        "items": [{"index": index, "label": images.class_names[int(images.labels[index])]} for index in indices],
        "selected": selected,
        "noun": noun,
    }

    def picked() -> None:
        index = reported(key, "pick")
        if index in indices:  # a value from the browser is only looked up among the indices
            on_pick(index)

    mount("gallery", message, key=key, callbacks={"pick": picked})
