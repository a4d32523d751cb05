"""Why does it work? What lies behind an attack on one image, for two models side by side."""

from __future__ import annotations

import streamlit as st

from advcore import attacks
from advcore.errors import AdvcoreError
from ui import frame, load
from ui.frame import chosen, heading, number, remember, remembered
from ui.links import link
from ui.pickers import ANY, about_images, attack_picker, dataset_picker, images_and_models, pick_models, pick_target
from ui.why import Scene, carried, certified, hidden, looks, maps
from ui.words import markdown_safe

PARTS = {
    "map": ("Decision map", maps.draw),
    "looks": ("What it looks at", looks.draw),
    "transfer": ("Transfer", carried.draw),
    "inside": ("Inside", hidden.draw),
    "certified": ("Certified radius", certified.draw),
}
SHARED = ("dataset", "a", "b", "attack", "target", "image", "epsilon", "noise", "class")
"""What the page Attack has in its address too."""


def page() -> None:
    """The image and the attack in hand, and one part at a time of why it works."""
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
    with load.interactive():
        first, usual = load.striking(*models, info.epsilon)
    index = int(number("image", 0, len(images) - 1, first, scope=info.name))
    target = None if target_name == ANY else images.class_names.index(target_name)
    target = None if target == int(images.labels[index]) else target
    attack = attacks.attack_named(attack_name, targeted=target is not None)
    epsilon = number("epsilon", 0, info.epsilon_max, usual, scope=info.name)
    remember(
        info.name,
        dataset=info.name,
        a=models[0].id,
        b=models[1].id,
        attack=attack_name,
        target=None if target_name == ANY else target_name,
        image=index,
        epsilon=epsilon,
    )
    scene = Scene(info, images, index, (models[0], models[1]), known, attack_name, attack, target, epsilon)
    part = st.segmented_control(
        "Part",
        list(PARTS),
        format_func=lambda name: PARTS[name][0],
        key=chosen("part", list(PARTS), "map"),
        required=True,
        label_visibility="collapsed",
    )
    remember(part=part)
    try:
        PARTS[part][1](scene)
    except AdvcoreError as error:  # the way back and the other parts stay
        st.error(markdown_safe(str(error)))
    here = {name: value for name, value in remembered().items() if name in SHARED}
    with way:
        link("Back to Attack", "", icon=":material/arrow_back:", **here)
    with about:
        label = markdown_safe(images.class_names[scene.label])
        st.caption(f"Test image {index} of {info.title}, true class “{label}”; {attacks.title(attack)}")
    with picks:
        about_images(images, "fp32")


if __name__ == "__main__":
    frame.run()
