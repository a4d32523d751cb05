"""Your image: upload it, photograph it or draw it, and see at which ε the models are fooled."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from advcore import attacks, data
from advcore.images.decode import Photo
from advcore.images.encode import to_bytes
from advcore.models import pretrained
from advcore.photos import digits, fullsize
from advcore.photos.framing import crop_box
from ui import frame, load, share
from ui.card import sides_drawn
from ui.components.cropper import Crop, cropper, held_crop
from ui.components.scrubber import Scrubbed, Side, scrubber, scrubber_data, wants_noise
from ui.details import details
from ui.downloads import offer_file
from ui.frame import choose, heading, here, number, remember, turn
from ui.photo import session
from ui.photo.models import PhotoModel, about, ask_kind, model_pickers, offer_pretrained, size_words
from ui.photo.sources import INVITATIONS, SOURCES, Given, fitting_example, forget, note_kind, photo_from, source_changed
from ui.pickers import ANY, attack_picker
from ui.slides import Slide, models_shown, offer_slide
from ui.words import OTHERS, epsilon_text, markdown_safe, percent, role, role_colour

REACHES = {"view": "what the models see", "full": "the whole picture"}
INKS = {"auto": "automatic", "dark": "dark", "bright": "bright"}
NONE = "none of these"
MOST_CHIPS = 12
"""So many classes are shown side by side; more are a list to search."""
UNSURE = 0.5
"""An answer with less confidence is called unsure."""


def page() -> None:
    """The photo, what it is, what the models say of it, the attack on it, and the attacked picture to download."""
    heading("Now try it with your picture", wide=True)
    with st.container(horizontal=True, vertical_alignment="bottom", key="ask"):
        where = "Where is the picture?"
        source = choose(st.segmented_control, where, "source", SOURCES, on_change=source_changed)
        dataset = ask_kind(st.container(width="content"), fitting_example)
    beside = source in {"draw", "camera"}  # these stand in the picture's own column
    given = None if beside else photo_from(source, dataset)
    left, right = st.columns([1, 3], gap="medium")
    with left:
        if beside:
            given = photo_from(source, dataset)
        picture, settings = st.container(), st.expander("Models, attack and framing", icon=":material/tune:")
    with settings:
        models = model_pickers(dataset)
    if not models:
        no_models(dataset)
        return
    remember(dataset, dataset=dataset, a=models[0].id, b=models[-1].id if len(models) > 1 else None, source=source)
    if given is None:
        if source in INVITATIONS:
            (right if beside else st).info(INVITATIONS[source], icon=":material/waving_hand:")
        privacy()
        return
    note_kind(source, given.id, dataset)
    with settings:
        reach, framing = framing_controls(models[0], given.photo)
        attack_name, target_name = attack_controls(models[0], reach)
    framed = look(picture, given, models[0], framing, fixed=source == "draw")
    target = None if target_name == ANY else models[0].class_names.index(target_name)
    attack = attacks.attack_named(attack_name, targeted=target is not None)
    info, scope = about(dataset), f"own {given.id} {dataset} {reach}"
    scrub_key, scrub_turn = f"scrub:own {dataset} {reach}", f"{turn()} {given.id}"
    noisy = number("noise", 0, 1, 0, scope=scope) == 1
    with right:
        before = st.container()
        answers = attack_photo(models, framed, attack, target, reach, info, noise=wants_noise(scrub_key, scrub_turn, noisy))
        with before:
            truth = ask_truth(given, models[0])
            say_before(answers, truth)
        cards = sides(answers, truth)
        left_at = scrubber(
            cards,
            models[0].class_names,
            epsilon=number("epsilon", 0, info.epsilon_max, session.telling_epsilon(answers, info.epsilon), scope=scope),
            usual=info.epsilon,
            noise=noisy,
            offers_noise=True,
            link=source == "examples",
            turn=scrub_turn,
            key=scrub_key,
        )
    fooled = any((answered.attack.answers != answered.attack.label).any() for answered in answers)
    if attack_name == "fgsm" and reach == "view" and not fooled:
        st.info(
            f"One step of FGSM changes no answer here up to ε = {epsilon_text(info.epsilons[-1])}. PGD-20, below the picture, "
            "takes twenty smaller steps.",
            icon=":material/science:",
        )
    example = given.id if source == "examples" else None
    remember(dataset, example=example, reach=reach, target=None if target is None else target_name)
    remember(reach, attack=attack_name)
    remember(scope, epsilon=left_at.epsilon, noise=1 if left_at.noise else None)
    shown = attacks.UniformNoise() if left_at.noise else attack
    within = f"{described(shown, reach)} = {epsilon_text(left_at.epsilon)}"
    share.shows(f"{within}.", partial(sides_drawn, cards, models[0].class_names, left_at))
    frame.enough()
    options = {"full": reach == "full", **framing}
    details(
        "Attacked pictures and commands",
        partial(take_away, framed, answers, cards, shown, target, left_at, options),
        icon="download",
        key="take away",
    )
    link = here() if example else None  # an own picture is in no link

    def slide() -> Slide:
        shown = sides(session.with_noise(answers, framed, target), truth)
        return slide_of(given, shown, models, info, described(attack, reach), left_at, link)

    offer_slide(slide, "attacked-picture")
    st.caption(f"{within}. Messaging apps recompress images, which may undo the attack.")
    if dataset == pretrained.DATASET and pretrained.missing():
        with st.expander("More ImageNet models", icon=":material/cloud_download:"):
            offer_pretrained()
    privacy()


def ask_truth(given: Given, model: PhotoModel) -> str | None:
    """Show the classes that the models know, and ask which of them the picture is: a class, NONE, or None while not said."""
    names = model.class_names
    key = f"truth {model.dataset} {given.id}"
    if key not in st.session_state and given.label is not None:
        st.session_state[key] = given.label if given.label in names else NONE
    label = f"These models know {len(names)} classes. What is the picture really?"
    options = [*names, NONE]
    if len(names) <= MOST_CHIPS:
        return st.pills(label, options, key=key)
    return st.selectbox(label, options, index=None, placeholder="Not said; type to search", key=key)


def say_before(answers: Sequence[session.Answered], truth: str | None) -> None:
    """What the models say before any attack."""
    said = []
    for answered, letter in zip(answers, "AB", strict=False):
        share, name = answered.own
        unsure = "is unsure: " if share < UNSURE else "says "
        said.append(
            f"{letter} {unsure}**{markdown_safe(name)}** ({percent(min(share, 1 - 1e-9))})"
        )  # a softmax never reaches 1, except by rounding
    know = " The picture shows none of their classes, so no answer is right." if truth == NONE else ""
    st.markdown(f"Before any attack, {' and '.join(said)}.{know}")


def no_models(dataset: str) -> None:
    """What to do where none of ImageNet's models are on this machine."""
    st.info(
        "torchvision's ImageNet models know 1,000 classes, but none of their weights are on this machine. Download one here, "
        "or choose the models of another dataset on the left.",
        icon=":material/cloud_off:",
    )
    offer_pretrained()
    remember(dataset=dataset)


def privacy() -> None:
    """Where the person's photos are kept, and how to delete them."""
    words, button = st.columns([4, 1], vertical_alignment="center")
    words.caption(
        ":material/lock: Your pictures stay in the memory of this session. Nothing is written to disk or shared with other "
        "sessions. They are deleted within two minutes after the page is closed."
    )
    if session.uploads().photos or session.uploads().drawn:
        button.button("Forget them now", icon=":material/delete:", width="stretch", on_click=forget)


def framing_controls(model: PhotoModel, photo: Photo) -> tuple[str, dict[str, Any]]:
    """What to attack (a key of REACHES), and how the photo is framed: `invert` and `plain`."""
    invert, plain = None, False
    if model.shape[0] == 1:
        ink = st.radio("The ink is", list(INKS), format_func=INKS.get, horizontal=True, key="ink")
        invert = {"dark": True, "bright": False}.get(ink)
    if digits.form_of(model.dataset):
        plain = not st.toggle(
            "Find the digit",
            value=True,
            key="find",
            help=f"Find the ink and frame it as in {about(model.dataset).title}: bright on dark, centred, of the same size.",
        )
    captions = [size_words(model), f"all its {photo.size[0]}×{photo.size[1]} pixels"]
    reach = choose(st.radio, "Attack", "reach", REACHES, captions=captions)
    return reach, {"invert": invert, "plain": plain}


def look(
    place: DeltaGenerator, given: Given, model: PhotoModel, framing: dict[str, Any], *, fixed: bool
) -> session.FramedPhoto:
    """Frame the photo for the models, and draw it with its crop unless `fixed`; adds the crop to `framing`."""
    photo = given.photo
    region = Crop() if fixed else held_crop("crop", given.id)
    framing["crop"] = crop = None if region.whole else crop_box(photo.size, model.shape, region.zoom, region.x, region.y)
    framed = session.frame_photo(given.id, photo, model, **framing)
    with place:
        if not fixed:
            box = crop or crop_box(photo.size, model.shape)
            cropper(
                session.made(("preview", given.id), lambda: to_bytes(fullsize.preview(photo, 480))),
                photo.size,
                model.shape[2] / model.shape[1],
                found=None if framed.framing.box == box else framed.framing.box,
                photo_id=given.id,
                label=f"Your picture, {photo.name}",
                key="crop",
            )
        st.caption(f"{markdown_safe(session.photo_words(photo))}  \nModels see {session.seen_words(model, framed.framing)}")
    return framed


def attack_controls(model: PhotoModel, reach: str) -> tuple[str, str]:
    """The attack's name, and the name of the class to reach (ANY: untargeted)."""
    full = reach == "full"
    name = attack_picker(
        scope=reach,
        only=["fgsm"] if full else None,
        help="On whole pictures, other attacks can be made on the command line." if full else None,
    )
    target = choose(
        st.selectbox,
        "Target class",
        "target",
        {ANY: "away from its own answer"} | {name: name for name in model.class_names},
        key=f"target:{model.dataset}",
        help="Without a target, the attack moves away from each model's own answer, since the true class is not known.",
    )
    st.caption(f"Device: {load.device_text('fp32')}")
    return name, target


def attack_photo(
    models: list[PhotoModel],
    framed: session.FramedPhoto,
    attack: attacks.Attack,
    target: int | None,
    reach: str,
    info: data.Dataset,
    *,
    noise: bool,
) -> list[session.Answered]:
    """Each model's answers to the photo under attack and, with `noise` or on a whole picture, under noise."""
    waiting = st.empty()
    try:
        if reach == "view":
            spinner = st.spinner("Attacking …", show_time=True) if attack.single_run else nullcontext()
            tell = partial(waiting.progress, text=f"Attacking with {attacks.title(attack)} at every ε …")
            with load.interactive(), waiting, spinner:
                answers = session.attack_views(models, framed, attack, target, info.epsilons, tell)
                return session.with_noise(answers, framed, target, keep=True) if noise else answers
        # Not `interactive`: this takes long, and curves that are measured need not wait for it.
        words = f"Attacking all {framed.photo.size[0]}×{framed.photo.size[1]} pixels …"
        return session.attack_whole(models, framed, target, info.epsilon_max, lambda share: waiting.progress(share, words))
    finally:
        waiting.empty()


def sides(answers: Sequence[session.Answered], truth: str | None) -> list[Side]:
    """A card for each model. It says fooled or held only if the answer before the attack was right."""
    found: list[Side] = []
    for answered in answers:
        model = answered.model
        colour = role_colour(model.defense)
        colour = OTHERS[0] if found and found[0].colour == colour else colour
        name = role(model.defense) if model.defended or not isinstance(model, pretrained.Pretrained) else "Pretrained"
        share, own = answered.own
        began = ""
        if truth and truth != own:
            began = "It was wrong before the attack."
        elif share < UNSURE:
            began = "It was unsure before the attack."
        found.append(Side(name, model.title, colour, answered.attack, answered.noise, own == truth, began))
    return found


def described(attack: attacks.Attack, reach: str) -> str:
    """Which attack was made on what, up to its ε."""
    name = attacks.title(attack)
    return f"{name[0].upper()}{name[1:]} on {REACHES[reach]}, every value changed by at most ε"


def slide_of(
    given: Given,
    cards: Sequence[Side],
    models: Sequence[PhotoModel],
    info: data.Dataset,
    caption: str,
    left: Scrubbed,
    link: str | None,
) -> Slide:
    """What the page shows, as a living slide."""
    return Slide(
        "scrubber",
        scrubber_data(cards, models[0].class_names, info.epsilon) | {"epsilon": left.epsilon, "noise": left.noise},
        "A picture under attack",
        f"{caption}.",
        models_shown(models),
        given.credit,
        link,
    )


def take_away(
    framed: session.FramedPhoto,
    answers: Sequence[session.Answered],
    cards: Sequence[Side],
    attack: attacks.Attack,
    target: int | None,
    left: Scrubbed,
    options: dict[str, Any],
) -> None:
    """For each model, the attacked picture as a PNG, what the model says of that file, and the command that makes it."""
    for column, answered, card, letter in zip(st.columns(len(answers)), answers, cards, "AB", strict=False):
        with column:
            attacked_file(framed, answered, letter, attack, target, left.epsilon, judged=card.judged)
            toward = None if target is None else answered.model.class_names[target]
            name, epsilon = framed.photo.name, left.epsilon
            st.code(session.command(answered.model, name, attack, epsilon, toward, **options), "bash", wrap_lines=True)


def attacked_file(
    framed: session.FramedPhoto,
    answered: session.Answered,
    letter: str,
    attack: attacks.Attack,
    target: int | None,
    epsilon: float,
    *,
    judged: bool,
) -> None:
    """The attacked picture to download; a large one is made only when asked for. `judged` as in `Side`."""
    place = st.empty()
    saved = session.saved(framed, answered, attack, target, epsilon, asked=False)
    if saved is None and place.button(
        f"Pack the attacked picture for {letter} ({framed.photo.size[0]}×{framed.photo.size[1]})",
        icon=":material/package_2:",
        key=f"pack {letter}",
        width="stretch",
    ):
        with place, st.spinner("Packing the picture and opening it again …", show_time=True), load.interactive():
            saved = session.saved(framed, answered, attack, target, epsilon)
    if saved is None:
        st.caption("A picture this large takes seconds to pack. It is then opened again to check the model's answer.")
        return
    with place:
        offer_file(
            f"Attacked picture for {letter} (PNG, {saved.size[0]}×{saved.size[1]})",
            saved.png,
            f"attacked-{letter}-eps{epsilon:.3f}.png",
            key=f"own download {letter}",
            width="stretch",
        )
    mark, fools, holds = "", f"changes {letter}'s answer", f"{letter}'s answer is unchanged"
    if judged:
        mark, fools, holds = "✗ " if saved.after else "✓ ", f"fools {letter}", f"{letter} holds"
    if saved.after:
        st.caption(f"{mark}Checked: this PNG, opened again, {'still ' if saved.before else ''}{fools}.")
    elif saved.before:
        st.caption(f"{mark}Checked: this PNG, opened again, no longer {fools}.")
    else:
        st.caption(f"{mark}At this ε, {holds}, also when this PNG is opened again.")


if __name__ == "__main__":
    frame.run()
