"""Attack: one image, two models, and ε under the finger."""

from __future__ import annotations

import random

import streamlit as st

from advcore import attacks
from advcore.images.encode import png
from advcore.training.measure import masking
from ui import load
from ui.components.gallery import gallery
from ui.components.scrubber import Side, scrubber
from ui.frame import chosen, number, remember, report_left_aside
from ui.pickers import about_images, dataset_picker, default_pair, images_and_models
from ui.snippets import attack_snippet
from ui.words import epsilon_text, markdown_safe, role, role_colour

ATTACKS = {"fgsm": "FGSM (one step)", "pgd": "PGD-20 (iterative)"}
ANY = "any"
PER_PAGE = 24

st.markdown("## How little does it take to fool a neural network?")
st.caption("Drag ε. The attack changes every pixel by at most that much, each in the direction that hurts the model most.")

with st.sidebar:
    info = dataset_picker()
images, known = images_and_models(info)
with st.sidebar:
    pair = default_pair(known)
    titles = {name: item.title for name, item in known.items()}
    picked = [
        st.selectbox(
            f"Model {letter.upper()}",
            list(known),
            format_func=titles.get,
            key=chosen(letter, list(known), default, key=f"{letter}:{info.name}"),
        )
        for letter, default in zip("ab", pair, strict=True)
    ]
    attack_name = st.selectbox("Attack", list(ATTACKS), format_func=ATTACKS.get, key=chosen("attack", list(ATTACKS), "fgsm"))
    wanted = [ANY, *images.class_names]
    target_name = st.selectbox(
        "Target class",
        wanted,
        format_func=lambda name: "any wrong class" if name == ANY else name,
        key=chosen("target", wanted, ANY, key=f"target:{info.name}"),
        help="“any” moves away from the true class; a class of your choice makes the attack move toward it.",
    )
    about_images(images, "fp32")
report_left_aside()

wanted_target = None if target_name == ANY else images.class_names.index(target_name)
chosen_models = [known[name] for name in picked]
image_key = f"image:{info.name}"


def show(index: int) -> None:
    """Put another test image on the screen."""
    st.session_state[image_key] = index


waiting = st.empty()
with waiting, st.spinner("Attacking …", show_time=True):
    first, usual = load.striking(*chosen_models, info.epsilon)
    if image_key not in st.session_state:
        show(int(number("image", 0, len(images) - 1, first, scope=info.name)))
    index = min(st.session_state[image_key], len(images) - 1)
    own_class = wanted_target == int(images.labels[index])
    target = None if own_class else wanted_target
    attack = attacks.attack_named(attack_name, targeted=target is not None)
    sides = []
    for checkpoint in chosen_models:
        seen = load.scrubbed(load.question(checkpoint, index, attack, target), info.epsilons)
        noise = load.scrubbed(load.question(checkpoint, index, attacks.UniformNoise(), target), seen.epsilons)
        defense = checkpoint.recipe.defense
        sides.append(Side(role(defense), checkpoint.title, role_colour(defense), seen, noise))
waiting.empty()
if own_class:
    st.info(
        f"This image is a “{markdown_safe(target_name)}” itself, so that is no target here: any wrong class will do.",
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

for checkpoint, letter in zip(chosen_models, "AB", strict=True):
    if (finding := masking(checkpoint.metrics)) and attack_name == "fgsm":
        st.info(f"Model {letter} {markdown_safe(finding)}. Set the attack to PGD-20 and see.", icon=":material/science:")

st.markdown("##### Pick an image")
choice, surprise, more = st.columns([2, 1, 1], vertical_alignment="bottom")
classes = ["all classes", *images.class_names]
only = choice.selectbox(
    "Class", classes, key=chosen("class", classes, classes[0], key=f"class:{info.name}"), label_visibility="collapsed"
)
matching = range(len(images)) if only == classes[0] else (images.labels == classes.index(only) - 1).nonzero().flatten().tolist()
page_key = f"gallery page:{info.name}:{only}"
surprise.button(
    "Surprise me",
    icon=":material/shuffle:",
    width="stretch",
    on_click=lambda: show(random.choice(matching)),
    disabled=not matching,
)
pages = max(1, -(-len(matching) // PER_PAGE))
if more.button("More images", icon=":material/arrow_forward:", width="stretch", disabled=pages == 1):
    st.session_state[page_key] = (st.session_state.get(page_key, 0) + 1) % pages
start = st.session_state.get(page_key, 0) * PER_PAGE
if matching:
    gallery(images, list(matching[start : start + PER_PAGE]), index, key=f"gallery:{info.name}", on_pick=show)
else:
    st.caption(f"None of these images is a {markdown_safe(only)}.")

st.markdown("##### Take it with you")
shown = attacks.UniformNoise() if left.noise else attack
columns = st.columns(len(sides))
for column, checkpoint, letter in zip(columns, chosen_models, "AB", strict=True):
    asked = load.question(checkpoint, index, shown, target)
    outcome = load.outcome(asked, left.epsilon)
    with column:
        st.download_button(
            f"Attacked image for {letter} (PNG, {images.shape[2]}×{images.shape[1]})",
            png(outcome.attacked[0]),
            file_name=f"{info.name}-{index}-{letter}-eps{left.epsilon:.3f}.png",
            mime="image/png",
            icon=":material/download:",
            on_click="ignore",
            key=f"download {letter}",
            width="stretch",
        )
        before, after = outcome.fooled(outcome.after), outcome.fooled(outcome.rounded)
        says = markdown_safe(images.class_names[int(outcome.rounded.argmax())])
        if outcome.wrong_before:
            st.caption(f"✗ {letter} is wrong even without an attack. Rounded to the 8 bits of a PNG, it says “{says}”.")
        elif after:
            astray = target is not None and not outcome.reached(outcome.rounded)
            into = f" It says “{says}”, not the wanted “{markdown_safe(target_name)}”." if astray else ""
            st.caption(f"✗ Checked: rounded to the 8 bits of a PNG, it {'still ' if before else ''}fools {letter}.{into}")
        elif before:
            st.caption(f"✓ Checked: rounded to the 8 bits of a PNG, it no longer fools {letter}.")
        else:
            st.caption(f"✓ At this ε, {letter} holds, before and after rounding to 8 bits.")
        with st.expander(f"Python for {letter}", icon=":material/code:"):
            st.code(attack_snippet(checkpoint.id, info.name, index, shown, left.epsilon, target), language="python")

means = attacks.title(shown)
st.caption(
    f"Test image {index} of {info.title}, truly “{markdown_safe(images.class_names[int(images.labels[index])])}”. "
    f"{means[0].upper()}{means[1:]}{' toward ' + markdown_safe(target_name) if target is not None and not left.noise else ''}, "
    f"every pixel changed by at most ε = {epsilon_text(left.epsilon)}."
)
remember(
    info.name,
    dataset=info.name,
    a=picked[0],
    b=picked[1],
    attack=attack_name,
    target=None if wanted_target is None else target_name,
    image=index,
    epsilon=left.epsilon,
    noise=1 if left.noise else None,
)
