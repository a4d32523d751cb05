"""Your image: upload it, take it, draw it, and see how little fools the models that look at it."""

from __future__ import annotations

import streamlit as st

from advcore import attacks
from advcore.errors import AdvcoreError
from advcore.images.encode import to_bytes
from advcore.models import pretrained
from advcore.photos import digits, fullsize
from advcore.photos.framing import crop_box
from ui import load
from ui.components.cropper import Crop, cropper, held_crop
from ui.components.scrubber import Side, scrubber
from ui.frame import chosen, number, remember, report_unavailable
from ui.photo import session
from ui.photo.models import about, model_pickers, offer_pretrained, size_words
from ui.photo.sources import INVITATIONS, SOURCES, forget, photo_from
from ui.words import OTHERS, epsilon_text, markdown_safe, role, role_colour

ATTACKS = {"fgsm": "FGSM (one step)", "pgd": "PGD-20 (iterative)"}
REACHES = {"view": "what the models see", "full": "the whole picture"}
INKS = {"auto": "automatic", "dark": "dark", "bright": "bright"}
ANY = "any"


def privacy() -> None:
    """Where the person's photos are, and how to be rid of them."""
    words, button = st.columns([4, 1], vertical_alignment="center")
    words.caption(
        ":material/lock: Your pictures stay in the memory of this session. Nothing is written to disk, shared with other "
        "sessions or sent anywhere else, and all of it is gone when you close the page."
    )
    if session.uploads().photos or st.session_state.get("drawn"):
        button.button("Forget them now", icon=":material/delete:", width="stretch", on_click=forget)


st.markdown("## Now try it with your picture")
st.caption(
    "A photo, a drawing, a digit on paper: see what the models make of it, and how little it takes to change their mind."
)
with st.sidebar:
    dataset, models = model_pickers()
aside = st.container()
with aside:
    report_unavailable()
if not models:
    st.info(
        "torchvision's ImageNet models name a photograph among 1,000 classes, but none of their weights are on this machine. "
        "Fetch one here, once, or choose the models of another dataset on the left.",
        icon=":material/cloud_off:",
    )
    offer_pretrained()
    remember(dataset=dataset)
    st.stop()
info, first = about(dataset), models[0]

# --- the photo, and what the models see of it ------------------------------------------------------------------------

source = st.segmented_control(
    "Where the picture comes from",
    list(SOURCES),
    format_func=SOURCES.get,
    key=chosen("source", list(SOURCES), "examples"),
    label_visibility="collapsed",
)
drawing = source == "draw"
beside = source in {"draw", "camera"}  # these stand where the photo stands otherwise
given = None if beside else photo_from(source, dataset)
left, middle, right = st.columns([1.15, 1, 0.95], gap="medium")
if beside:
    with left:
        given = photo_from(source, dataset)
if given is None:
    (middle if beside else st).info(INVITATIONS[source], icon=":material/waving_hand:")
    privacy()
    remember(dataset, dataset=dataset, a=models[0].id, b=models[-1].id, source=source)
    st.stop()
photo_id, photo = given

invert, plain = None, False
with right:
    if first.shape[0] == 1:
        ink = st.radio("The ink is", list(INKS), format_func=INKS.get, horizontal=True, key="ink")
        invert = {"dark": True, "bright": False}.get(ink)
    if dataset in digits.FORMS:
        plain = not st.toggle(
            "Find the digit",
            value=True,
            key="find",
            help=f"Look for ink and frame it as {info.title} does: bright on dark, centred, as large as there.",
        )
    reach = st.radio(
        "Attack",
        list(REACHES),
        format_func=REACHES.get,
        captions=[size_words(first), f"all its {photo.size[0]}×{photo.size[1]} pixels"],
        key=chosen("reach", list(REACHES), "view"),
    )
full = reach == "full"
region = Crop() if drawing else held_crop("crop", photo_id)
crop = None if region.whole else crop_box(photo.size, first.shape, region.zoom, region.x, region.y)
try:
    framed = session.frame_photo(photo_id, photo, first, crop=crop, invert=invert, plain=plain)
except AdvcoreError as error:
    st.error(markdown_safe(str(error)))
    st.stop()
middle.html(
    session.figure(framed.seen[0], f"The models see: {session.seen_words(first, framed.framing)}", "What the models see")
)
if not drawing:
    with left:
        frame = crop or crop_box(photo.size, first.shape)
        cropper(
            session.made(("preview", photo_id), lambda: to_bytes(fullsize.preview(photo, 480))),
            photo.size,
            first.shape[2] / first.shape[1],
            found=None if framed.framing.box == frame else framed.framing.box,
            photo_id=photo_id,
            label=f"Your picture, {photo.name}",
            key="crop",
        )
        st.caption(markdown_safe(session.photo_words(photo)))

# --- the attack --------------------------------------------------------------------------------------------------------

with st.sidebar:
    kinds = ["fgsm"] if full else list(ATTACKS)
    attack_name = st.selectbox(
        "Attack",
        kinds,
        format_func=ATTACKS.get,
        key=chosen("attack", kinds, "fgsm", key=f"attack:{reach}"),
        help="PGD works on what the models see; for whole pictures it is there on the command line." if full else None,
    )
    wanted = [ANY, *first.class_names]
    target_name = st.selectbox(
        "Target class",
        wanted,
        format_func=lambda name: "away from its own answer" if name == ANY else name,
        key=chosen("target", wanted, ANY, key=f"target:{dataset}"),
        help="Nobody told the models what your picture shows. The attack moves away from what each of them says itself, or "
        "toward a class of your choice.",
    )
    st.caption(f"Device: {load.device_text('fp32')}")
with aside:
    report_unavailable()
target = None if target_name == ANY else first.class_names.index(target_name)
attack = attacks.attack_named(attack_name, targeted=target is not None)

waiting = st.empty()
try:
    if full:
        size = f"{photo.size[0]}×{photo.size[1]} pixels"
        answers = session.attack_whole(
            models, framed, target, info.epsilon_max, lambda share: waiting.progress(share, f"Attacking all {size} …")
        )
    else:
        with waiting, st.spinner("Attacking …", show_time=True):
            answers = session.attack_views(models, framed, attack, target, info.epsilons)
except AdvcoreError as error:
    waiting.empty()
    st.error(markdown_safe(str(error)))
    st.stop()
waiting.empty()

sides = []
for item, answered in zip(models, answers, strict=True):
    colour = role_colour(item.defense)
    colour = OTHERS[0] if sides and sides[0].colour == colour else colour
    name = "Pretrained" if isinstance(item, pretrained.Pretrained) else role(item.defense)
    sides.append(Side(name, item.title, colour, answered.attack, answered.noise))
track = f"own {dataset} {reach}"
left_at = scrubber(
    sides,
    first.class_names,
    epsilon=number("epsilon", 0, info.epsilon_max, session.telling_epsilon(answers, info.epsilon), scope=track),
    usual=info.epsilon,
    noise=number("noise", 0, 1, 0, scope=track) == 1,
    link=source == "examples",
    key=f"scrub:{track}",
)

changed = any((answered.attack.answers != answered.attack.label).any() for answered in answers)
if attack_name == "fgsm" and not full and not changed:
    st.info(
        f"One step of FGSM changes nobody's mind here up to ε = {epsilon_text(info.epsilons[-1])}. PGD-20, in the sidebar, "
        "takes twenty smaller steps.",
        icon=":material/science:",
    )

# --- to take away ------------------------------------------------------------------------------------------------------

st.markdown("##### Take it with you")
shown = attacks.UniformNoise() if left_at.noise else attack
for column, answered, letter in zip(st.columns(len(sides)), answers, "AB", strict=False):
    with column:
        place_of_file = st.empty()
        kept = session.saved(framed, answered, shown, target, left_at.epsilon, asked=False)
        if kept is None and place_of_file.button(
            f"Pack the attacked picture for {letter} ({photo.size[0]}×{photo.size[1]})",
            icon=":material/package_2:",
            key=f"pack {letter}",
            width="stretch",
        ):
            with place_of_file, st.spinner("Packing the picture and opening it again …", show_time=True):
                kept = session.saved(framed, answered, shown, target, left_at.epsilon)
        if kept is None:
            st.caption("A picture this large takes seconds to pack; then it is opened again to check that it still fools.")
        else:
            place_of_file.download_button(
                f"Attacked picture for {letter} (PNG, {kept.size[0]}×{kept.size[1]})",
                kept.png,
                file_name=f"attacked-{letter}-eps{left_at.epsilon:.3f}.png",
                mime="image/png",
                icon=":material/download:",
                on_click="ignore",
                key=f"own download {letter}",
                width="stretch",
            )
            if kept.after:
                st.caption(f"✗ Checked: this PNG, opened again, {'still ' if kept.before else ''}fools {letter}.")
            elif kept.before:
                st.caption(f"✓ Checked: this PNG, opened again, no longer fools {letter}.")
            else:
                st.caption(f"✓ At this ε, {letter} holds: so does it when this PNG is opened again.")
        with st.expander(f"Command for {letter}", icon=":material/terminal:"):
            toward = None if target is None else target_name
            options = {"full": full, "crop": crop, "invert": invert, "plain": plain}
            st.code(session.command(answered.model, photo.name, shown, left_at.epsilon, toward, **options), language="bash")
means = attacks.title(shown)
st.caption(
    f"{means[0].upper()}{means[1:]} on {'the whole picture' if full else 'what the models see'}, every value changed by at "
    f"most ε = {epsilon_text(left_at.epsilon)}. Keep the PNG as it is: a messenger that packs it anew may undo the attack."
)
if dataset == pretrained.DATASET and pretrained.missing():
    with st.expander("More ImageNet models", icon=":material/cloud_download:"):
        offer_pretrained()
privacy()
remember(
    dataset,
    dataset=dataset,
    a=models[0].id,
    b=models[-1].id if len(models) > 1 else None,
    source=source,
    example=photo_id if source == "examples" else None,
    reach=reach,
    target=None if target is None else target_name,
)
remember(reach, attack=attack_name)
remember(track, epsilon=left_at.epsilon, noise=1 if left_at.noise else None)
