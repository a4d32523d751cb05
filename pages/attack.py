"""Attack: one test image, two models, and ε as one drags it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from urllib.parse import urlencode

import streamlit as st

from advcore import attacks, data
from advcore.evaluation.diagnosis import masking
from advcore.evaluation.single import Outcome
from advcore.images.encode import png
from advcore.models.checkpoints import Checkpoint
from ui import frame, load
from ui.components.gallery import gallery
from ui.components.scrubber import Scrubbed, Side, scrubber
from ui.frame import chosen, number, remember, report_unavailable
from ui.pickers import about_images, attack_picker, dataset_picker, default_pair, images_and_models
from ui.snippets import attack_snippet
from ui.words import epsilon_text, markdown_safe, role, role_colour

ANY = "any"
PER_PAGE = 24


def page() -> None:
    """Two models and one image with the ε track, other images to pick, and downloads."""
    st.markdown("## How little does it take to fool a neural network?")
    st.caption("Drag ε. The attack changes every pixel by at most ε, in the direction that raises the model's error most.")
    with st.sidebar:
        info = dataset_picker()
    images, known = images_and_models(info)
    with st.sidebar:
        models = pick_models(info, known)
        attack_name, target_name = pick_attack(info, images)
        about_images(images, "fp32")
    report_unavailable()

    waiting = st.empty()
    with waiting, st.spinner("Attacking …", show_time=True), load.interactive():
        first, usual = load.striking(*models, info.epsilon)
        index = shown_image(info, images, first)
        target = None if target_name == ANY else images.class_names.index(target_name)
        own_class = target == int(images.labels[index])
        target = None if own_class else target
        attack = attacks.attack_named(attack_name, targeted=target is not None)
        sides = [side(model, index, attack, target, info) for model in models]
    waiting.empty()
    if own_class:
        st.info(
            f"This image is a “{markdown_safe(target_name)}” itself; the attack moves toward any other class.",
            icon=":material/my_location:",
        )
    left = scrubber(
        sides,
        images.class_names,
        epsilon=number("epsilon", 0, info.epsilon_max, usual, scope=info.name),
        usual=info.epsilon,
        noise=number("noise", 0, 1, 0, scope=info.name) == 1,
        key=f"scrub:{info.name}",
    )
    masked_notes(models, attack_name)
    pick_image(info, images, index)
    shown = attacks.UniformNoise() if left.noise else attack
    grid = sides[0].attack.epsilons if left.noise else info.epsilons
    take_away(models, images, index, shown, target, grid, left)
    describe(images, index, shown, target, left.epsilon)
    remember(
        info.name,
        dataset=info.name,
        a=models[0].id,
        b=models[1].id,
        attack=attack_name,
        target=None if target_name == ANY else target_name,
        image=index,
        epsilon=left.epsilon,
        noise=1 if left.noise else None,
    )


def pick_models(info: data.Dataset, known: dict[str, Checkpoint]) -> list[Checkpoint]:
    """Models A and B."""
    return [
        known[
            st.selectbox(
                f"Model {letter.upper()}",
                list(known),
                format_func=lambda name: known[name].title,
                key=chosen(letter, list(known), default, key=f"{letter}:{info.name}"),
            )
        ]
        for letter, default in zip("ab", default_pair(known), strict=True)
    ]


def pick_attack(info: data.Dataset, images: data.LabeledImages) -> tuple[str, str]:
    """The attack's name, and the name of the class to reach (ANY: untargeted)."""
    name = attack_picker()
    classes = [ANY, *images.class_names]
    target = st.selectbox(
        "Target class",
        classes,
        format_func=lambda name: "any wrong class" if name == ANY else name,
        key=chosen("target", classes, ANY, key=f"target:{info.name}"),
        help="“any” moves away from the true class; with a class of your choice the attack moves toward it.",
    )
    return name, target


def image_key(info: data.Dataset) -> str:
    """Where the session keeps the index of the image shown."""
    return f"image:{info.name}"


def shown_image(info: data.Dataset, images: data.LabeledImages, first: int) -> int:
    """The index of the test image shown: the one picked, else the link's, else `first`."""
    if image_key(info) not in st.session_state:
        st.session_state[image_key(info)] = int(number("image", 0, len(images) - 1, first, scope=info.name))
    return min(st.session_state[image_key(info)], len(images) - 1)


def side(model: Checkpoint, index: int, attack: attacks.Attack, target: int | None, info: data.Dataset) -> Side:
    """A model's card: its answers to the image under the attack and under noise."""
    seen = load.scrubbed(load.image_attack(model, index, attack, target), info.epsilons)
    noise = load.scrubbed(load.image_attack(model, index, attacks.UniformNoise(), target), seen.epsilons)
    defense = model.recipe.defense
    return Side(role(defense), model.title, role_colour(defense), seen, noise)


def masked_notes(models: Sequence[Checkpoint], attack_name: str) -> None:
    """Where one step fools a model far less often than many steps, a note beside the single-step attack."""
    for model, letter in zip(models, "AB", strict=True):
        if attack_name == "fgsm" and (finding := masking(model)):
            checks = f"/believe?{urlencode({'dataset': model.dataset, 'model': model.id})}"
            st.info(
                f"Model {letter} {markdown_safe(finding)}. Set the attack to PGD-20, or see [the ten checks]({checks}).",
                icon=":material/science:",
            )


def pick_image(info: data.Dataset, images: data.LabeledImages, index: int) -> None:
    """The gallery of test images, of one class or of all."""

    def show(number: int) -> None:
        st.session_state[image_key(info)] = number

    st.markdown("##### Pick an image")
    choice, surprise, more = st.columns([2, 1, 1], vertical_alignment="bottom")
    classes = ["all classes", *images.class_names]
    only = choice.selectbox(
        "Class", classes, key=chosen("class", classes, classes[0], key=f"class:{info.name}"), label_visibility="collapsed"
    )
    of_class = images.labels == classes.index(only) - 1
    matching = list(range(len(images))) if only == classes[0] else of_class.nonzero().flatten().tolist()
    surprise.button(
        "Surprise me",
        icon=":material/shuffle:",
        width="stretch",
        on_click=lambda: show(random.choice(matching)),
        disabled=not matching,
    )
    page_key, pages = f"gallery page:{info.name}:{only}", max(1, -(-len(matching) // PER_PAGE))
    if more.button("More images", icon=":material/arrow_forward:", width="stretch", disabled=pages == 1):
        st.session_state[page_key] = (st.session_state.get(page_key, 0) + 1) % pages
    start = st.session_state.get(page_key, 0) * PER_PAGE
    if matching:
        gallery(images, matching[start : start + PER_PAGE], index, key=f"gallery:{info.name}", on_pick=show)
    else:
        st.caption(f"None of these images is a {markdown_safe(only)}.")


def take_away(
    models: Sequence[Checkpoint],
    images: data.LabeledImages,
    index: int,
    attack: attacks.Attack,
    target: int | None,
    grid: tuple[float, ...],
    left: Scrubbed,
) -> None:
    """For each model, the attacked image as a PNG, what the model says of it, and the Python that makes it."""
    st.markdown("##### Take it with you")
    for column, model, letter in zip(st.columns(len(models)), models, "AB", strict=True):
        with load.interactive():
            outcome = load.outcome(load.image_attack(model, index, attack, target), grid, left.epsilon)
        with column:
            st.download_button(
                f"Attacked image for {letter} (PNG, {images.shape[2]}×{images.shape[1]})",
                png(outcome.saved[0]),
                file_name=f"{images.dataset}-{index}-{letter}-eps{left.epsilon:.3f}.png",
                mime="image/png",
                icon=":material/download:",
                on_click="ignore",
                key=f"download {letter}",
                width="stretch",
            )
            st.caption(png_words(outcome, letter, images.class_names))
            with st.expander(f"Python for {letter}", icon=":material/code:"):
                st.code(attack_snippet(model.id, images.dataset, index, attack, left.epsilon, target), language="python")


def png_words(outcome: Outcome, letter: str, names: Sequence[str]) -> str:
    """What is true of the PNG: how far it is from the clean image in grey levels, and whether it fools the model."""
    levels = int((outcome.saved - outcome.clean * 255).abs().max().round())
    within = f"the PNG differs from the clean image by at most {levels}/255"
    says = markdown_safe(names[int(outcome.rounded.argmax())])
    if outcome.wrong_before:
        return f"✗ {letter} is wrong even without an attack. Checked: {within}; {letter} says “{says}”."
    if outcome.fooled(outcome.rounded):
        still = "still fools" if outcome.fooled(outcome.after) else "fools"
        missed = outcome.target is not None and not outcome.reached(outcome.rounded)
        other = f" It says “{says}”, not the wanted “{markdown_safe(names[outcome.target])}”." if missed else ""
        return f"✗ Checked: {within} and {still} {letter}.{other}"
    if outcome.fooled(outcome.after):
        return f"✓ Checked: {within} and no longer fools {letter}."
    return f"✓ Checked: {within}; {letter} holds, before and after rounding to 8 bits."


def describe(images: data.LabeledImages, index: int, attack: attacks.Attack, target: int | None, epsilon: float) -> None:
    """A caption: which image is shown and which attack was made on it."""
    name, label = attacks.title(attack), markdown_safe(images.class_names[int(images.labels[index])])
    toward = (
        ""
        if target is None or not getattr(attack, "targeted", False)
        else f" toward {markdown_safe(images.class_names[target])}"
    )
    st.caption(
        f"Test image {index} of {data.dataset(images.dataset).title}, true class “{label}”. "
        f"{name[0].upper()}{name[1:]}{toward}, every pixel changed by at most ε = {epsilon_text(epsilon)}."
    )


if __name__ == "__main__":
    frame.run()
