"""Inside: where test images lie in each model's last hidden layer, and the path of this image as ε grows."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import streamlit as st
import torch
from torch import Tensor, nn

from advcore import attacks, data
from advcore.evaluation.inside import IMAGES, Inside, hidden, inside
from advcore.evaluation.scrub import Scrub
from advcore.models.checkpoints import Checkpoint
from ui import charts, load
from ui.downloads import offer_csv
from ui.scene import Scene
from ui.waiting import results, wait
from ui.words import epsilon_text, markdown_safe, percent
from ui.worker import Task, pausing


def draw(scene: Scene) -> None:
    """A chart for each model."""
    few = scene.images[:IMAGES]
    source = data.find(scene.info.name)
    tasks = [
        Task(("inside", model.id, load.written(model), source), functools.partial(_run, load.model(model), few), lambda _: True)
        for model in scene.models
    ]
    found: list[Inside | None] = results(tasks)
    drawn = []
    for column, letter, model, each in zip(st.columns(2), "AB", scene.models, found, strict=True):
        with column:
            st.markdown(f"### {letter}: {markdown_safe(model.title)}")
            if each is not None:
                drawn.append((model, each, *_chart(scene, letter, model, each)))
    if not all(found):
        wait("inside", tasks, found, _progress)
        return
    st.caption(
        f"Each point is one of the first {len(few):,} test images: its values in the last hidden layer, along the two "
        "directions of most variance. Points that are near here can be far apart along the other directions. The line is this "
        f"image under {attacks.title(scene.attack)}, from ε = 0 (white point) on; it is vermilion where the attack succeeds, "
        f"and the ring is at ε = {epsilon_text(scene.epsilon)}."
    )
    offer_csv(
        "Every point (CSV)",
        lambda: (row for each in drawn for row in _rows(scene, *each)),
        f"{scene.file}-inside.csv",
    )


def _chart(scene: Scene, letter: str, model: Checkpoint, found: Inside) -> tuple[Tensor, Scrub]:
    """Draw one model's chart; returns the path and the attack that it belongs to."""
    with st.spinner("Attacking …", show_time=True):
        seen = scene.seen(model)
    path = _path(scene.asked(model), scene.info.epsilons, found)
    figure = charts.inside_chart(found, path, seen, seen.place(scene.epsilon), scene.images.class_names)
    charts.show(figure, key=f"inside {letter}")
    st.markdown(f"{percent(sum(found.variance), 0)} of the variance of {found.size:,} values is along these two directions.")
    return path, seen


@st.cache_data(show_spinner=False, max_entries=64)
def _path(asked: load.ImageAttack, epsilons: tuple[float, ...], _found: Inside) -> Tensor:
    """Where the image lies at each ε; the directions follow from the model that `asked` names."""
    model, image, _ = asked.open()
    seen = load.scrubbed(asked, epsilons)
    attacked = torch.cat([seen.attacked(place) for place in range(len(seen.epsilons))])
    return _found.places_of(hidden(model), attacked.to(image.device))


def _rows(scene: Scene, model: Checkpoint, found: Inside, path: Tensor, seen: Scrub) -> Iterator[dict[str, object]]:
    names = scene.images.class_names
    for index, (label, (x, y)) in enumerate(zip(found.labels.tolist(), found.places.tolist(), strict=True)):
        yield {"model": model.id, "test image": index, "epsilon": 0.0, "true class": names[label], "answer": "", "x": x, "y": y}
    for epsilon, answer, (x, y) in zip(seen.epsilons, seen.answers.tolist(), path.tolist(), strict=True):
        row = {"model": model.id, "test image": scene.index, "epsilon": epsilon, "true class": names[scene.label]}
        yield row | {"answer": names[answer], "x": x, "y": y}


def _progress(now: Sequence[Inside | None]) -> tuple[float, str]:
    done = sum(each is not None for each in now)
    return done / len(now), f"{IMAGES} test images through each model; {done} of {len(now)} models are done"


def _run(model: nn.Module, few: data.LabeledImages, _: Inside | None) -> Iterator[Inside | None]:
    return inside(pausing(hidden(model)), few)
