"""Transfer: the attack made on each model of the dataset and tried on all of them, and images that fool two models."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import streamlit as st

from advcore import attacks, data
from advcore.device import pick_device
from advcore.evaluation.curves import prepared
from advcore.evaluation.transfer import Transfer, nothing, transfer
from advcore.models import checkpoints
from advcore.models.checkpoints import Checkpoint
from ui import charts, load
from ui.downloads import offer_csv
from ui.frame import choose, chosen_number, remember
from ui.pickers import epsilon_field
from ui.pictures import Picture, pictures
from ui.scene import Scene
from ui.waiting import results, wait
from ui.words import FOOLED, epsilon_text, markdown_safe, percent
from ui.worker import Task, pausing

IMAGES, MOST_MODELS, SHOWN = 200, 16, 6
QUICK = ("fgsm", "pgd")
"""The attacks that are fast enough for the table; any other is replaced by the last of them."""


def draw(scene: Scene) -> None:
    """The table, which is measured in the background, and the images of one of its cells."""
    models = _models(scene)
    names = [model.title + _letters(scene, model) for model in models]
    attack_name = scene.attack_name if scene.attack_name in QUICK else QUICK[-1]
    attack, usual = attacks.attack_named(attack_name), scene.epsilon or scene.info.epsilon
    few = scene.images[:IMAGES]
    epsilon, source, victim = _controls(scene, usual, models)
    files = tuple((model.id, load.written(model)) for model in models)
    key = ("transfer", files, data.find(scene.info.name), attack, epsilon, len(few))
    ids = [model.id for model in models]
    task = Task(key, functools.partial(_run, ids, few, attack, epsilon), lambda each: each.share == 1)
    (found,) = results([task])
    drawn: Transfer = found or nothing(tuple(ids), few.labels)

    def picked() -> None:
        points = st.session_state["transfer chart"].selection.points
        pair = [int(at) for at in points[0]["customdata"]] if points else []
        if len(pair) == 2 and 0 <= pair[0] < len(models) and 0 <= pair[1] < len(models):
            st.session_state[_key(scene, "source")], st.session_state[_key(scene, "victim")] = (ids[at] for at in pair)

    figure = charts.transfer_chart(drawn, names, (source, victim))
    charts.show(figure, key="transfer chart", on_select=picked, selection_mode="points")
    st.caption(
        f"{attacks.title(attack)} at ε = {epsilon_text(epsilon)} on the first {len(few):,} test images: each model's accuracy, "
        "with its 95 % interval on hover. On the diagonal the attack is made on the model itself."
    )
    if drawn.share < 1:
        answers = len(models) ** 2 * len(few)
        wait("transfer", [task], [found], lambda now: _progress(now[0], answers))
    if found is not None:
        _show(scene, found, models, attack, epsilon, source, victim)


def _progress(found: Transfer | None, answers: int) -> tuple[float, str]:
    share = 0.0 if found is None else found.share
    return share, f"{100 * share:.0f} % of {answers:,} answers"


def _models(scene: Scene) -> list[Checkpoint]:
    """The models of the dataset, A and B among them: at most sixteen."""
    first = dict.fromkeys(model.id for model in scene.models)
    chosen_ids = [*first, *(name for name in scene.known if name not in first)][:MOST_MODELS]
    return [model for name, model in scene.known.items() if name in chosen_ids]


def _letters(scene: Scene, model: Checkpoint) -> str:
    found = [letter for letter, item in zip("AB", scene.models, strict=True) if item.id == model.id]
    return f" ({' and '.join(found)})" if found else ""


def _key(scene: Scene, name: str) -> str:
    return f"{name}:{scene.info.name}"


def _controls(scene: Scene, usual: float, models: list[Checkpoint]) -> tuple[float, int, int]:
    """ε, and the places of the source and the victim whose images are shown."""
    info, ids = scene.info, [model.id for model in models]
    titles = {model.id: model.title for model in models}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = chosen_number("epsilon", 0.001, info.epsilon_max, usual, scope=info.name, key=f"transfer epsilon:{info.name}")
        epsilon = epsilon_field(st, "ε (L∞)", 0.001, info.epsilon_max, key=key, width=150)
        places = []
        for label, name, default in zip(("Made on", "Tried on"), ("source", "victim"), scene.models, strict=True):
            key = _key(scene, name)
            places.append(ids.index(choose(st.selectbox, label, name, titles, default.id, key=key, width=300)))
    remember(info.name, epsilon=epsilon, source=ids[places[0]], victim=ids[places[1]])
    return epsilon, places[0], places[1]


def _run(
    ids: Sequence[str], few: data.LabeledImages, attack: attacks.Attack, epsilon: float, found: Transfer | None
) -> Iterator[Transfer]:
    """Loads the models itself: the pages' cache does not hold all models of a dataset."""
    models = {name: pausing(prepared(checkpoints.find(name).model(), pick_device(), "fp32")) for name in ids}
    return transfer(models, few, attack, epsilon, found)


def _show(
    scene: Scene,
    found: Transfer,
    models: list[Checkpoint],
    attack: attacks.Attack,
    epsilon: float,
    source: int,
    victim: int,
) -> None:
    """Images whose attack on the source fools the victim too, and the table as CSV."""
    carried = found.carried(source, victim)
    sure = (found.clean[source] == found.labels) & (found.clean[victim] == found.labels) & (found.answers[source, victim] >= 0)
    fooled = int((sure & (found.answers[source, source] != found.labels)).sum())
    one, other = (markdown_safe(models[at].title) for at in (source, victim))
    if source == victim:
        st.markdown(f"Of {int(sure.sum())} images that {one} gets right, the attack fools it on {fooled}.")
    else:
        share = f" ({percent(len(carried) / fooled)})" if fooled else ""
        st.markdown(
            f"Of {int(sure.sum())} images that both get right, the attack on {one} fools it on {fooled}; "
            f"{len(carried)} of these{share} fool {other} too."
        )
    if len(carried):
        few, names = scene.images[carried[:SHOWN]], scene.images.class_names
        pixels, labels = few.pixels(pick_device()), few.labels.to(pick_device())
        attacked = attack.perturb(load.model(models[source]), pixels, labels, epsilon, indices=few.indices)
        shown = [
            Picture(image, f"test image {index}", f"{names[label]} → {names[answer]}", "✗ carries over", FOOLED)
            for image, index, label, answer in zip(
                attacked.cpu(),
                few.indices.tolist(),
                few.labels.tolist(),
                found.answers[source, victim][carried[:SHOWN]].tolist(),
                strict=True,
            )
        ]
        pictures(shown, "carried-over")
    offer_csv(
        "The table (CSV)",
        lambda: ({"attack": attacks.title(attack), "epsilon": epsilon, **row} for row in found.rows()),
        f"{scene.info.name}-transfer.csv",
    )
