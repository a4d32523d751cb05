"""The page Why without a browser."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from advcore.evaluation import plane, smoothing
from tests.pages.conftest import checked, finish, open_page, press
from ui.slides import Slide, slide_html
from ui.why import certified, maps

PAIR = {"dataset": "digits", "a": "digits/digits_cnn-standard", "b": "digits/digits_cnn-fgsm-0.2", "image": "3"}


def test_the_maps_are_coarse_at_once_and_whole_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[Callable[[], Slide]] = []
    monkeypatch.setattr(plane, "SIDES", (11, 21))
    monkeypatch.setattr(maps, "offer_slide", lambda slide, _: offered.append(slide))
    page = open_page("why", **PAIR, epsilon="0.1", attack="pgd", second="other")
    assert not page.get("download_button")
    finish(page, "map")
    assert [button.label for button in page.get("download_button")] == ["Every point (CSV)"]
    slide = offered[-1]()
    assert (slide.component, slide.data["epsilon"]) == ("plane", pytest.approx(0.1))
    assert [model["side"] for model in slide.data["models"]] == [21, 21]
    assert len(slide_html(slide).encode()) < 1_000_000


def test_a_new_random_direction_is_in_the_address() -> None:
    page = open_page("why", **PAIR, draw="4")
    press(page, "New random direction")
    assert page.session_state["address"].kept["draw:digits"] == 5


def test_gradients_at_once_and_films_afterwards() -> None:
    page = open_page("why", **PAIR, part="looks", scale="own", norm="l2", toward="8")
    assert len(page.get("download_button")) == 2
    finish(page, "film")
    assert len(page.get("download_button")) == 4


def test_the_norm_of_a_film_is_not_that_of_curves() -> None:
    text = "from pages import accuracy, why\nfrom ui import frame\nimport streamlit as st\n"
    page = AppTest.from_string(f"{text}name = st.session_state.get('name', 'why')\nframe.guard(globals()[name].page, name)")
    for name, value in {**PAIR, "part": "looks", "norm": "l2"}.items():
        page.query_params[name] = value
    checked(page.run(timeout=60))
    page.session_state["name"] = "accuracy"
    page.query_params.clear()
    checked(page.run(timeout=60))
    assert next(radio for radio in page.radio if radio.label == "Norm of ε").value == "linf"


def test_transfer_fills_in_and_shows_what_carries_over() -> None:
    page = open_page("why", **PAIR, part="transfer", epsilon="0.2")
    finish(page, "transfer")
    assert [button.label for button in page.get("download_button")] == ["The table (CSV)"]
    picks = {box.label: box.value for box in page.selectbox if box.label in {"Made on", "Tried on"}}
    assert picks == {"Made on": PAIR["a"], "Tried on": PAIR["b"]}


def test_the_path_inside_is_drawn_for_both_models() -> None:
    page = finish(open_page("why", **PAIR, part="inside", epsilon="0.1"), "inside")
    assert len(page.get("plotly_chart")) == 2
    assert [button.label for button in page.get("download_button")] == ["Every point (CSV)"]


@pytest.mark.parametrize("sigma", ["0.05", "1"])
def test_votes_come_in_and_prove_a_radius_or_nothing(sigma: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "attack_sizes", lambda sigma: (sigma,))
    monkeypatch.setattr(certified, "SAMPLES", (200,))
    page = open_page("why", **PAIR, part="certified", sigma=sigma)
    finish(page, "certify")
    assert [button.label for button in page.get("download_button")] == ["Votes and radii (CSV)"]
    html = " ".join(item.proto.body for item in page.get("html"))
    assert ("abstains" in html) == (sigma == "1"), "noise of σ = 1 drowns the digits"


def test_the_way_back_keeps_the_state() -> None:
    state = PAIR | {"attack": "pgd", "epsilon": "0.15", "class": "3", "noise": "1"}
    page = open_page("why", **state, draw="4")
    links = {link.page: dict(parse_qsl(link.query_string)) for link in (item.proto for item in page.get("page_link"))}
    assert links[""] == state


def test_colours_tell_the_classes_of_a_map_apart() -> None:
    assert len({maps.TRUE, *maps.WRONG, maps.REST}) == 2 + len(maps.WRONG)


@pytest.mark.parametrize("link", [{"second": "x"}, {"draw": "-1"}, {"towards": "1e99", "second": "image"}, {"image": "nan"}])
def test_a_strange_link_shows_the_default(link: dict[str, str]) -> None:
    assert not open_page("why", dataset="digits", **link).error
