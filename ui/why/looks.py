"""What each model looks at: input gradients side by side, and attacks with a large budget as a filmstrip."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import streamlit as st
import torch
from torch import Tensor, nn

from advcore.attacks import Norm
from advcore.evaluation.gradients import STEPS, Film, InputGradient, far_epsilons, film, input_gradient_at
from advcore.images.encode import png, to_bytes
from advcore.models.checkpoints import Checkpoint
from ui import load
from ui.downloads import offer_csv, offer_file
from ui.frame import choose, remember
from ui.pictures import Picture, pictures
from ui.scene import Scene
from ui.waiting import results, wait
from ui.words import FOOLED, epsilon_text, markdown_safe, percent, role, role_colour
from ui.worker import Task, pausing

SCALES = {"same": "Same scale", "own": "Each its own scale"}
NORMS: dict[Norm, str] = {"linf": "L∞", "l2": "L2"}


def draw(scene: Scene) -> None:
    """The gradients of both models, then attacks with a large budget."""
    gradients(scene)
    films(scene)


def gradients(scene: Scene) -> None:
    """The image and the input gradient of A and of B, with figures."""
    scale = choose(st.segmented_control, "Scale of the gradients", "scale", SCALES, bare=True, required=True)
    remember(scale=scale)
    found = [_gradient(scene.asked(model), scene.label) for model in scene.models]
    largest = max(each.largest for each in found)
    image = scene.images[scene.index : scene.index + 1].pixels()[0]
    shown = [Picture(image, "the image", scene.images.class_names[scene.label])]
    for letter, model, each in zip("AB", scene.models, found, strict=True):
        drawn = each.picture(largest if scale == "same" else each.largest)
        defense = model.recipe.defense
        says = f"alignment {each.alignment:.3f}"
        shown.append(Picture(drawn, f"{letter}: {role(defense)}", says, f"largest {each.largest:.2g}", role_colour(defense)))
    pictures(shown)
    grey = "of both models (an all-grey picture has far smaller values)" if scale == "same" else "of this model"
    st.caption(
        "The gradient of the loss for each pixel: mid-grey is 0; where it is light, a brighter pixel raises the loss, where it "
        f"is dark, it lowers it; white and black are the largest value {grey}. Alignment is the absolute value of the cosine "
        "between image and gradient."
    )
    file = f"{scene.file}-gradients"
    with st.container(horizontal=True):
        _offer_pictures("Gradients (PNG)", [[each.pixels for each in shown]], f"{file}.png")
        offer_csv(
            "Every value (CSV)",
            lambda: (row for model, each in zip(scene.models, found, strict=True) for row in _values(model, each)),
            f"{file}.csv",
        )


@st.cache_data(show_spinner=False, max_entries=256)
def _gradient(asked: load.ImageAttack, label: int) -> InputGradient:
    model, image, _ = asked.open()
    return input_gradient_at(model, image, label)


def _values(model: Checkpoint, gradient: InputGradient) -> Iterator[dict[str, object]]:
    for channel, rows in enumerate(gradient.values.tolist()):
        for row, values in enumerate(rows):
            for column, value in enumerate(values):
                yield {"model": model.id, "channel": channel, "row": row, "column": column, "gradient": f"{value:.6g}"}


def films(scene: Scene) -> None:
    """For each model the image attacked toward a class, with budgets far above those of the track."""
    st.markdown("## Far beyond ε")
    names, info = scene.images.class_names, scene.info
    others = [name for place, name in enumerate(names) if place != scene.label]
    default = names[scene.target] if scene.target is not None else others[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        toward = choose(st.selectbox, "Toward", "toward", others, default, key=f"toward:{info.name}", width=200)
        control = st.segmented_control
        norm: Norm = choose(control, "Norm of the budget", "norm", NORMS, key="norm:film", required=True)
    remember(info.name, toward=toward)
    remember("film", norm=norm)
    epsilons = far_epsilons(info, norm)
    tasks = []
    for asked in map(scene.asked, scene.models):
        model, image, _ = asked.open()
        run = functools.partial(_run, model, image, names.index(toward), epsilons, norm, scene.index)
        tasks.append(Task(("film", asked, toward, norm), run, lambda each: len(each.frames) == len(epsilons), _frames_of))
    found: list[Film | None] = results(tasks)
    for letter, model, each in zip("AB", scene.models, found, strict=True):
        st.markdown(f"### {letter}: {markdown_safe(model.title)}")
        if each is not None:
            pictures(_frames(each, names, norm))
    films = [each for each in found if each is not None and len(each.frames) == len(epsilons)]
    if len(films) < len(tasks):
        wait("film", tasks, found, lambda now: _progress(now, len(tasks) * len(epsilons)))
        return
    for letter, each in zip("AB", films, strict=True):
        reached = each.reached_at
        at = "" if reached is None else epsilon_text(reached, norm)
        says = f"first answers “{markdown_safe(toward)}” at ε = {at}" if at else "does not give that answer at any of these ε"
        st.markdown(f"**{letter}** {says}.")
    st.caption(
        f"PGD toward “{markdown_safe(toward)}”, {STEPS} steps, {NORMS[norm]}. On adversarially trained models such images "
        "often begin to look like the target, on standard ones they look like noise (Tsipras et al. 2019). No figure here "
        "measures that: judge by eye. It may fail on small networks and on those whose robustness is masked."
    )
    file = f"{info.name}-{scene.index}-film"
    with st.container(horizontal=True):
        _offer_pictures("Filmstrips (PNG)", [each.frames for each in films], f"{file}.png")
        offer_csv(
            "Their answers (CSV)",
            lambda: (row for model, each in zip(scene.models, films, strict=True) for row in _rows(model, each, names)),
            f"{file}.csv",
        )


def _frames(found: Film, names: Sequence[str], norm: Norm) -> list[Picture]:
    shares, answers = found.shares.max(1)
    return [
        Picture(
            frame,
            f"ε = {epsilon_text(epsilon, norm)}",
            f"{names[answer]} {percent(share, 0)}",
            "→ the target" if answer == found.target else "",
            FOOLED if answer == found.target else "transparent",
        )
        for frame, epsilon, answer, share in zip(found.frames, found.epsilons, answers.tolist(), shares.tolist(), strict=True)
    ]


def _rows(model: Checkpoint, found: Film, names: Sequence[str]) -> Iterator[dict[str, object]]:
    shares, answers = found.shares.max(1)
    for epsilon, answer, share in zip(found.epsilons, answers.tolist(), shares.tolist(), strict=True):
        row = {"model": model.id, "epsilon": epsilon, "toward": names[found.target]}
        yield row | {"class": names[answer], "confidence": share}


def _frames_of(found: Film | None) -> int:
    return 0 if found is None else len(found.frames)


def _progress(now: Sequence[Film | None], whole: int) -> tuple[float, str]:
    done = sum(map(_frames_of, now))
    return done / whole, f"{done} of {whole} images"


def _run(
    model: nn.Module, image: Tensor, target: int, epsilons: Sequence[float], norm: Norm, index: int, _: Film | None
) -> Iterator[Film]:
    return film(pausing(model), image, target, epsilons, norm=norm, index=index)


def _offer_pictures(label: str, rows: Sequence[Iterable[Tensor]], file_name: str) -> None:
    """Pictures of one size (C×H×W) to download as one PNG, each pixel four wide."""

    def drawn() -> bytes:
        strips = [torch.cat([image if image.dtype == torch.uint8 else to_bytes(image) for image in row], 2) for row in rows]
        whole = torch.cat(strips, 1)
        return png(whole.repeat_interleave(4, 1).repeat_interleave(4, 2))

    offer_file(label, drawn, file_name, "image")
