"""Attack: one test image, two models, and ε to drag."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from advcore import attacks, data
from advcore.epsilon import nearest
from advcore.evaluation import figures
from advcore.evaluation.diagnosis import masking
from advcore.evaluation.figures import claimed_epsilon
from advcore.evaluation.scrub import Scrub
from advcore.evaluation.single import Outcome
from advcore.images.encode import png
from advcore.models.checkpoints import Checkpoint
from ui import frame, load, share
from ui.card import sides_drawn
from ui.components.gallery import gallery
from ui.components.scrubber import Scrubbed, Side, position, scrubber, scrubber_data, wants_noise
from ui.details import details
from ui.downloads import offer_file
from ui.frame import choose, go, heading, here, keep, number, remember, remembered, turn
from ui.links import link
from ui.pickers import (
    about_images,
    attack_picker,
    dataset_picker,
    default_pair,
    images_and_models,
    pick_models,
    pick_target,
)
from ui.scene import Scene, open_scene, usual_epsilon
from ui.slides import Slide, licence, models_shown, offer_slide
from ui.snippets import attack_snippet
from ui.track import tracks
from ui.words import epsilon_text, markdown_safe, percent, role, role_colour

TITLE = "How little does it take to fool a neural network?"
PER_PAGE = 24
_WALKS = "the thumb walks to its place"
"""Whether the scrubber's thumb is to walk from 0 to the ε of the state when it is drawn next."""


@load.interactive()
def page() -> None:
    """Two models and one image with the ε track, other images to pick, and downloads."""
    top = st.container()
    tours = st.container(horizontal=True, vertical_alignment="center", gap="small", key="tours")
    picks = st.container(horizontal=True, gap="small", key="picks")
    with picks:
        info = dataset_picker(bare=True)
        attack_name = attack_picker(bare=True)
    with top:
        heading(TITLE, wide=True, help=f"Drag ε, the size of the change. The attack: {attacks.offered()[attack_name].about}")
    with picks:
        models_place, target_place = st.container(horizontal=True, gap="small", key="models"), st.container()
    images, known = images_and_models(info)
    with models_place:
        models = pick_models(info, known)
    with target_place:
        target_name = pick_target(info, images)
    with tours:
        offer_tours(info, images, known)

    waiting = st.empty()
    with waiting, st.spinner("Attacking …", show_time=True):
        scene = open_scene(info, images, known, models, attack_name, target_name)
        scrub_key, noisy = f"scrub:{info.name}", number("noise", 0, 1, 0, scope=info.name) == 1
        stands, _ = position(scrub_key, turn(), scene.epsilon)
        found = tracks([scene.asked(model) for model in models], info.epsilons, stands)
        sides = compared(scene, found.seen, found.epsilons if wants_noise(scrub_key, turn(), noisy) else None)
    waiting.empty()
    if target_name == images.class_names[scene.label]:
        st.info(
            f"This image is a “{markdown_safe(target_name)}” itself, so the attack may move to any other class.",
            icon=":material/my_location:",
        )
    masked_notes(models, attack_name)
    track = found.epsilons
    if (near := nearest(track, scene.epsilon)) and abs(near - scene.epsilon) > 1e-4:
        said = f"{attacks.title(scene.attack)} is computed at every {epsilon_text(track[1])}: {epsilon_text(near)} is shown."
        st.caption(f":material/info: {said}")
    left = scrubber(
        sides,
        images.class_names,
        epsilon=scene.epsilon,
        usual=info.epsilon,
        track=track,
        noise=noisy,
        offers_noise=True,
        walks=st.session_state.pop(_WALKS, False),
        turn=turn(),
        key=scrub_key,
    )
    remember(info.name, epsilon=left.epsilon, noise=1 if left.noise else None)
    found.go_on(attacks.title(scene.attack))
    shown = attacks.SignNoise() if left.noise else scene.attack
    within = f" = {epsilon_text(left.epsilon)}, {percent(left.epsilon)} of the brightness range."
    share.shows(described(scene, shown) + within, partial(sides_drawn, sides, images.class_names, left))
    told = described(scene, shown, markdown_safe) + within
    if frame.presented():
        st.caption(told)
    frame.enough()
    link("Why does it work?", "why", icon=":material/travel_explore:", **remembered())
    pick_image(scene)
    # Made when the box is opened: checking what rounding to 8 bits does takes as long as the attack.
    details("Attacked images and Python", partial(take_away, scene, shown, sides, left), icon="download", key="take away")
    offer_slide(partial(slide_of, scene, left, here()), scene.file)
    st.caption(told)


def offer_tours(info: data.Dataset, images: data.LabeledImages, known: dict[str, Checkpoint]) -> None:
    """Three buttons, each of which sets the whole state."""
    a, b = default_pair(known)
    start = {"dataset": info.name, "a": a, "b": b, "attack": "fgsm"}
    st.button("Fool it", icon=":material/bolt:", on_click=fool, args=(start,))
    noise = start | {"noise": "1"}
    st.button("Try noise of the same size", icon=":material/grain:", on_click=go, args=(noise,), kwargs={"full": True})
    masked = [item for name in (info.name, "mnist") for item in load.catalog(name).values() if masking(item)]
    if info.swap and set(info.swap) <= set(images.class_names):
        label = "Turn “{}” into “{}”".format(*info.swap)
        st.button(label, icon=":material/swap_horiz:", on_click=swap_classes, args=(info, images, known))
    elif masked:
        label = "See a defense break under PGD"
        st.button(label, icon=":material/heart_broken:", on_click=break_defense, args=(masked[0],))
    link("New here? Short lessons", "learn", icon=":material/lightbulb:")


def fool(state: dict[str, str]) -> None:
    """Set the state, and let the thumb walk there: the page may stand there already, and a click must show something."""
    go(state, full=True)
    st.session_state[_WALKS] = True


def break_defense(model: Checkpoint) -> None:
    """Show a masked model as B, on an image on which, at its ε, PGD fools it and FGSM does not."""
    epsilon = claimed_epsilon(model) or model.recipe.epsilon
    standard = default_pair(load.catalog(model.dataset))[0]
    with load.interactive():
        image = load.breaking(model, epsilon)
    state = {"dataset": model.dataset, "a": standard, "b": model.id, "attack": "pgd"}
    go(state | {"image": str(image), "epsilon": f"{epsilon:.6g}"}, full=True)


def swap_classes(info: data.Dataset, images: data.LabeledImages, known: dict[str, Checkpoint]) -> None:
    """Show an image of the dataset's first class of `swap`, which PGD moves to the second one on model A."""
    a, b = default_pair(known)
    pair = known[a], known[b]
    epsilon = usual_epsilon(info, pair)
    label, target = (images.class_names.index(name) for name in info.swap or ())
    with load.interactive():
        pgd = attacks.attack_named("pgd", targeted=True)
        image = load.swapping(pair, pgd, label, target, epsilon)
    state = {"dataset": info.name, "a": a, "b": b, "attack": "pgd", "target": images.class_names[target]}
    go(state | {"image": str(image), "epsilon": f"{epsilon:.6g}"}, full=True)


def compared(scene: Scene, seen: Sequence[Scrub], noise: tuple[float, ...] | None) -> list[Side]:
    """A card for each model: its answers to the image under the attack and, on the ε grid `noise`, under noise."""
    cards = []
    for model, under in zip(scene.models, seen, strict=True):
        asked = load.image_attack(model, scene.index, attacks.SignNoise(), scene.target)
        control = load.scrubbed(asked, noise) if noise else None
        cards.append(Side(role(model.defense), model.title, role_colour(model.defense), under, control))
    return cards


def masked_notes(models: Sequence[Checkpoint], attack_name: str) -> None:
    """A line on each model whose robustness is masked: what FGSM leaves at its ε, and what stronger attacks do."""
    for model, letter in zip(models, "AB", strict=True):
        if masking(model):
            at = claimed_epsilon(model)
            rows = figures.under(model.metrics, "FGSM", at), figures.strongest(model.metrics, at)
            shares = ((percent(row["accuracy"]), f"{row['images']:,}", markdown_safe(row["attack"])) for row in rows if row)
            found = ", ".join(f"{share} of {count} images under {attack}" for share, count, attack in shares)
            seen = rows[1] and rows[1]["attack"].startswith("PGD") and at <= data.dataset(model.dataset).epsilon_max
            try_it = " See it with PGD-20." if attack_name == "fgsm" and seen else ""
            said = f":material/science: **Model {letter} is masked**: at ε = {at:.3g} it holds {found}.{try_it}"
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(said, width="stretch")
                link("The ten checks", "believe", icon=":material/verified:", dataset=model.dataset, model=model.id)


def pick_image(scene: Scene) -> None:
    """The gallery of test images, of one class or of all."""
    info, images = scene.info, scene.images

    def show(number: int) -> None:
        keep(info.name, image=number)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("## Pick an image", width="content")
        about_images(images, "fp32")
    choice, surprise, more = st.columns([2, 1, 1], vertical_alignment="bottom")
    classes = ["all classes", *images.class_names]
    only = choose(choice.selectbox, "Class", "class", classes, key=f"class:{info.name}", bare=True)
    remember(info.name, **{"class": None if only == classes[0] else only})
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
        gallery(images, matching[start : start + PER_PAGE], scene.index, key=f"gallery:{info.name}", on_pick=show)
    else:
        st.caption(f"None of these images is a {markdown_safe(only)}.")


def take_away(scene: Scene, attack: attacks.Attack, sides: Sequence[Side], left: Scrubbed) -> None:
    """For each model, the attacked image as a PNG, what the model says of it, and the Python that makes it."""
    images, index, target = scene.images, scene.index, scene.target
    for column, model, side, letter in zip(st.columns(2), scene.models, sides, "AB", strict=True):
        seen = side.noise if left.noise else side.attack
        assert seen is not None  # noise that is shown was computed
        outcome = load.outcome(load.image_attack(model, index, attack, target), left.epsilon, seen)
        with column:
            offer_file(
                f"Attacked image for {letter} (PNG, {images.shape[2]}×{images.shape[1]})",
                png(outcome.saved[0]),
                f"{scene.file}-{letter}-eps{left.epsilon:.3f}.png",
                key=f"download {letter}",
                width="stretch",
            )
            st.caption(png_words(outcome, letter, images.class_names))
            st.code(attack_snippet(model.id, images.dataset, index, attack, left.epsilon, target), "python", wrap_lines=True)


def png_words(outcome: Outcome, letter: str, names: Sequence[str]) -> str:
    """How far the PNG is from the clean image, in grey levels, and whether it fools the model."""
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
    return f"✓ Checked: {within}; {letter} is not fooled, before and after rounding to 8 bits."


@load.interactive()
def slide_of(scene: Scene, left: Scrubbed, link: str | None) -> Slide:
    """What the page shows, as a living slide, with a note on each model whose robustness is masked."""
    found = (masking(model) for model in scene.models)
    notes = [f"Model {letter} {finding}." for letter, finding in zip("AB", found, strict=True) if finding]
    seen = [scene.seen(model) for model in scene.models]
    sides = compared(scene, seen, seen[0].epsilons)
    return Slide(
        "scrubber",
        scrubber_data(sides, scene.images.class_names, scene.info.epsilon) | {"epsilon": left.epsilon, "noise": left.noise},
        TITLE,
        " ".join([f"{described(scene, scene.attack)}.", *notes]),
        models_shown(scene.models),
        licence(scene.info, scene.images),
        link,
    )


def described(scene: Scene, attack: attacks.Attack, write: Callable[[str], str] = str) -> str:
    """Which image is shown and which attack was made on it, up to its ε; `write` escapes the names of classes."""
    name, targeted = attacks.title(attack), scene.target is not None and getattr(attack, "targeted", False)
    toward = f" toward {write(scene.images.class_names[scene.target])}" if targeted else ""
    return f"{scene.image_words(write)}. {name[0].upper()}{name[1:]}{toward}, every pixel changed by at most ε"


if __name__ == "__main__":
    frame.run()
