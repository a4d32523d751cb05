"""Certified radius: randomized smoothing of both models. The votes are shown while they are counted."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import streamlit as st
from torch import Tensor, nn

from advcore.evaluation.smoothing import ALPHA, Bracket, attack_sizes, bracket
from advcore.models.checkpoints import Checkpoint
from ui import charts
from ui.downloads import offer_csv
from ui.frame import choose, chosen_number, remember, remembered
from ui.links import link
from ui.scene import Scene
from ui.tiles import Tile, tiles
from ui.waiting import results, wait
from ui.words import DEFENDED, FOOLED, markdown_safe, percent, role_colour
from ui.worker import Task, pausing

SAMPLES = (1000, 2000, 5000, 10_000)
MOST_BARS = 5


def draw(scene: Scene) -> None:
    """The votes under noise, the radius they prove, and the size of the change with which an attack succeeded."""
    sigma, samples = _controls(scene)
    tasks = []
    for asked in map(scene.asked, scene.models):
        model, image, _ = asked.open()
        run = functools.partial(_run, model, image, sigma, samples, len(scene.images.class_names), scene.index)
        tasks.append(Task(("votes", asked, sigma, samples), run, lambda found: found.complete, _cost))
    found: list[Bracket | None] = results(tasks)
    if not any(model.recipe.defense == "noise" for model in scene.models):
        _offer_noise(scene)
    if any(found):
        _bars(scene, found)
    for letter, model, each in zip("AB", scene.models, found, strict=True):
        if each is not None and each.votes.complete:
            _figures(scene, letter, model, each)
    if not all(each is not None and each.complete for each in found):
        wait("certify", tasks, found, _progress)
    st.caption(
        "The smoothed model gives the answer that the model gives most often to the image plus Gaussian noise of standard "
        f"deviation σ. The radius is σ·Φ⁻¹(p), with p the lower bound of Clopper and Pearson at {percent(1 - ALPHA)} for the "
        "share of votes (Cohen et al. 2019). It holds for the smoothed model, not for the model itself. The smallest change "
        "that fools the smoothed model is larger than the radius and no larger than the one found by the attack."
    )
    whole = [each for each in found if each is not None and each.complete]
    if len(whole) == len(scene.models):
        offer_csv(
            "Votes and radii (CSV)",
            lambda: (_row(scene, model, each) for model, each in zip(scene.models, whole, strict=True)),
            f"{scene.file}-certified.csv",
        )


def _controls(scene: Scene) -> tuple[float, int]:
    with st.container(horizontal=True):
        key = chosen_number("sigma", 0.05, 1.0, 0.25, scope=scene.info.name, key=f"sigma:{scene.info.name}")
        sigma = st.slider("σ of the noise (pixel space)", 0.05, 1.0, step=0.05, key=key, width=420)
        counts = {count: f"{count:,}" for count in SAMPLES}
        samples = choose(st.segmented_control, "Votes", "samples", counts, required=True)
    remember(scene.info.name, sigma=sigma, samples=samples)
    return sigma, samples


def _offer_noise(scene: Scene) -> None:
    """Links to the same page with a noise-trained model as B, and with the noise it was trained on."""
    trained = [model for model in scene.known.values() if model.recipe.defense == "noise"]
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            "Neither model was trained on noise. Such models often answer wrongly under noise; then no radius is certified.",
            width="stretch",
        )
        for model in trained:
            state = remembered() | {"b": model.id, "sigma": f"{model.recipe.sigma:g}"}
            link(f"B trained on σ = {model.recipe.sigma:g}", "why", icon=":material/grain:", **state)


def _bars(scene: Scene, found: Sequence[Bracket | None]) -> None:
    """The votes as bars, the classes with most votes first."""
    names = scene.images.class_names
    votes = [None if each is None else each.votes for each in found]
    total = [0.0 if each is None else max(1, each.samples) for each in votes]
    shares = [
        [0.0 if each is None else 100 * each.counts[at] / count for each, count in zip(votes, total, strict=True)]
        for at in range(len(names))
    ]
    order = sorted((at for at in range(len(names)) if max(shares[at]) > 0), key=lambda at: -max(shares[at]))[:MOST_BARS]
    bars = [
        charts.Bars(
            f"{letter}: {model.title}",
            role_colour(model.recipe.defense),
            tuple(shares[at][place] for at in order),
            pattern="/" if place else "",
        )
        for place, (letter, model) in enumerate(zip("AB", scene.models, strict=True))
    ]
    figure = charts.bars_chart([names[at] for at in order], bars, x="votes (%)")
    charts.show(figure, key="votes")


def _figures(scene: Scene, letter: str, model: Checkpoint, found: Bracket) -> None:
    """The certificate, what it is in L∞, and what the attack found."""
    votes, names = found.votes, scene.images.class_names
    answer, radius = markdown_safe(names[votes.answer]), votes.radius
    right = votes.answer == scene.label
    st.markdown(f"### {letter}: {markdown_safe(model.title)}")
    if found.fooled_at is not None:
        above, note = f"{found.fooled_at:.3f}", f"another answer, {percent(1 - ALPHA)}"
    else:
        above, note = ("–", "attack under way") if not found.complete else (f"> {found.tried:.3g}", "not found up to here")
    counted = f"{percent(1 - ALPHA)}, {votes.samples:,} votes"
    attacked = Tile("Found by attack, L2", above, note, FOOLED)
    if radius is None:
        shown = [Tile("Certified L2 radius", "abstains", counted), attacked]
    else:
        size = math.prod(scene.images.shape)
        linf = Tile("The same in L∞", f"{255 * radius / math.sqrt(size):.2f}/255", f"÷ √{size:,}")
        shown = [Tile("Certified L2 radius", f"{radius:.3f}", counted, DEFENDED), linf, attacked]
    tiles(shown)
    if radius is None:
        confidence = percent(1 - ALPHA)
        st.markdown(
            f"The votes do not show, at {confidence} confidence, that one class has more than half: no radius is certified."
        )
    else:
        verdict = "the true class" if right else f"which is wrong: the true class is “{markdown_safe(names[scene.label])}”"
        within = f"for every image within that L2 distance, at {percent(1 - ALPHA)} confidence"
        st.markdown(f"The smoothed model answers “{answer}”, {verdict}, {within}.")


def _row(scene: Scene, model: Checkpoint, found: Bracket) -> dict[str, object]:
    names, votes = scene.images.class_names, found.votes
    return {
        "model": model.id,
        "sigma": votes.sigma,
        "answer": names[votes.answer],
        "radius_l2": votes.radius,
        "attack_tried_up_to_l2": found.tried,
        "attack_found_at_l2": found.fooled_at,
        **{f"votes {name}": count for name, count in zip(names, votes.counts, strict=True)},
    }


def _progress(now: Sequence[Bracket | None]) -> tuple[float, str]:
    """Votes are half of the work, the attacks the other."""
    shares = []
    for found in now:
        counted = 0.0 if found is None else found.votes.samples / found.votes.wanted
        tried = 0.0 if found is None else found.tried / attack_sizes(found.votes.sigma)[-1]
        shares.append(1.0 if found is not None and found.complete else (counted + tried) / 2)
    voting = any(found is None or not found.votes.complete for found in now)
    return sum(shares) / len(shares), "Counting votes" if voting else "Attacking the smoothed models"


def _cost(found: Bracket | None) -> tuple[int, float]:
    """The model with fewer votes goes on first, then the one whose attack was tried less far."""
    return (0, 0.0) if found is None else (found.votes.samples, found.tried)


def _run(
    model: nn.Module, image: Tensor, sigma: float, samples: int, classes: int, index: int, _: Bracket | None
) -> Iterator[Bracket]:
    return bracket(pausing(model), image, sigma, samples, classes, index=index)
