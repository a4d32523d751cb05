"""Why does it work? Five explanations of an attack on one image, for two models side by side."""

from __future__ import annotations

import streamlit as st

from advcore import attacks
from advcore.errors import AdvcoreError
from ui import frame, load
from ui.frame import choose, heading, remember, remembered
from ui.links import link
from ui.pickers import about_images, attack_picker, dataset_picker, images_and_models, pick_models, pick_target
from ui.scene import open_scene
from ui.why import carried, certified, hidden, looks, maps
from ui.words import markdown_safe

PARTS = {
    "map": ("Decision map", maps.draw),
    "looks": ("Input gradient", looks.draw),
    "transfer": ("Transfer", carried.draw),
    "inside": ("Inside", hidden.draw),
    "certified": ("Certified radius", certified.draw),
}
SHARED = ("dataset", "a", "b", "attack", "target", "image", "epsilon", "noise", "class")
"""The values that the page Attack has in its address too."""


@load.interactive()
def page() -> None:
    """The image and the attack, and one of the explanations."""
    heading("Why does it work?", wide=True)
    back = st.container(horizontal=True, vertical_alignment="center", key="aside")
    with back:
        way, about = st.container(width="content"), st.container(width="content")
        picks = st.popover("Models and attack", icon=":material/tune:")
    with picks:
        info = dataset_picker()
        images, known = images_and_models(info)
        models = pick_models(info, known)
        attack_name = attack_picker()
        target_name = pick_target(info, images)
    scene = open_scene(info, images, known, models, attack_name, target_name)
    remember(info.name, epsilon=scene.epsilon)
    titles = {name: title for name, (title, _) in PARTS.items()}
    part = choose(st.segmented_control, "Part", "part", titles, bare=True, required=True)
    remember(part=part)
    try:
        PARTS[part][1](scene)
    except AdvcoreError as error:  # the way back and the other parts stay
        st.error(markdown_safe(str(error)))
    here = {name: value for name, value in remembered().items() if name in SHARED}
    with way:
        link("Back to Attack", "", icon=":material/arrow_back:", **here)
    with about:
        st.caption(f"{scene.image_words(markdown_safe)}; {attacks.title(scene.attack)}")
    with picks:
        about_images(images, "fp32")


if __name__ == "__main__":
    frame.run()
