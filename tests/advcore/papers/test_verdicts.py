"""Verdicts, computed from counts: each kind where it belongs, and nothing decided within the interval."""

from __future__ import annotations

import dataclasses

import pytest

from advcore.papers import record as records
from advcore.papers import verdicts
from advcore.papers.record import Accuracy, Measurement, Record, Sum, Value
from advcore.papers.studies import STUDIES
from advcore.papers.study import Claim, Figure, Measures, Reading, Study

PLAIN, SWAPPED = "mnist/net-standard", "mnist/net-fgsm-0.2"
READINGS = (Reading("literally"), Reading("halved", 0.5), Reading("swapped", instead={PLAIN: SWAPPED}))
LITERAL, HALVED, OTHER = (PLAIN, "FGSM", 0.2, 400), (PLAIN, "FGSM", 0.1, 700), (SWAPPED, "FGSM", 0.2, 900)


def study(*figures: Figure, **changes: object) -> Study:
    """A study of these figures."""
    given = {"readings": READINGS, "claim": "It holds.", **changes}
    return Study(key="P9", title="", conditions="", figures=figures, **given)  # type: ignore[arg-type]


def figure(percent: float | None, measures: Measures = "FGSM", up_to: float | None = None) -> Figure:
    return Figure("row", PLAIN, measures, 0.2, percent, up_to)


def record(*found: tuple[str, str, float, int], missing: dict[str, str] | None = None, seeds: int = 1) -> Record:
    """Counts out of a thousand for (model, attack, ε), the same for every seed."""
    rows = [Measurement(model, attack, at, seed, 1000, right) for model, attack, at, right in found for seed in range(seeds)]
    return Record("P9", "", "", "", "fp32", {}, 0.0, missing or {}, tuple(rows))


def row(of: Figure, given: Record | None, **changes: object) -> verdicts.Row:
    (found,) = verdicts.table(study(of, **changes), given)
    return found


@pytest.mark.parametrize(
    ("percent", "kind"),
    [
        (40.0, "within 3 points"),
        (43.04, "within 3 points"),
        (36.96, "within 3 points"),
        (43.06, "differs: ours is lower"),
        (67.5, "differs: ours is lower"),  # another reading would: it is judged over the whole table
        (20.0, "differs: ours is higher"),
        (None, "not published"),
    ],
)
def test_each_kind_with_one_seed(percent: float | None, kind: str) -> None:
    assert row(figure(percent), record(LITERAL, HALVED, OTHER)).kind == kind


@pytest.mark.parametrize(("percent", "kind"), [(37.1, "reproduced"), (43.0, "reproduced"), (36.96, "within 3 points")])
def test_reproduced_is_a_figure_within_the_interval_of_three_seeds(percent: float, kind: str) -> None:
    """Wilson's interval of 400 of 1000 is 37.01 to 43.07."""
    assert row(figure(percent), record(LITERAL, seeds=3)).kind == kind
    assert row(figure(percent), record(LITERAL, seeds=2)).kind != "reproduced"


def test_a_hundred_images_do_not_reproduce_a_figure() -> None:
    few = [Measurement(PLAIN, "FGSM", 0.2, seed, 100, 40) for seed in range(3)]
    given = dataclasses.replace(record(), measured=tuple(few))
    assert row(figure(40.0), given).kind == "within 3 points"


def test_a_range_is_met_anywhere_within() -> None:
    assert row(figure(35.0, up_to=41.0), record(LITERAL)).kind == "within 3 points"
    assert row(figure(30.0, up_to=36.0), record(LITERAL)).kind == "differs: ours is higher"
    assert row(figure(30.0, up_to=38.0), record(LITERAL, seeds=3)).kind == "reproduced"


def test_a_dataset_in_the_place_of_another_is_not_comparable() -> None:
    assert row(figure(40.0), record(LITERAL, seeds=3), stand_ins={"mnist": "ImageNet"}).kind == "not comparable"
    tiny = [item for item in verdicts.table(STUDIES["P1"], records.read("P1")) if item.figure.dataset == "tiny-imagenet"]
    assert {item.kind for item in tiny} == {"not comparable", "not published"}


def test_what_was_not_measured_says_how_to() -> None:
    assert "papers run P9" in row(figure(40.0), None).words
    told = row(figure(40.0), record(HALVED, missing={PLAIN: "It is not here."}))
    assert (told.kind, "It is not here." in told.words) == ("not measured", True)


def test_a_defended_model_that_pgd_breaks_is_masked() -> None:
    of = Figure("row", SWAPPED, "FGSM", 0.2, 60.0)
    found = row(of, record(OTHER, (SWAPPED, "PGD", 0.2, 50)))
    assert found.cells[0].pgd is not None
    assert found.cells[0].pgd.percent == 5.0
    assert found.cells[0].masked
    assert any(SWAPPED in words for words in verdicts.summary(study(of), record(OTHER, (SWAPPED, "PGD", 0.2, 50))))
    assert row(of, record(OTHER, (SWAPPED, "PGD", 0.2, 700))).cells[0].masked is None


def test_an_undefended_model_and_an_epsilon_beyond_the_training_are_not_masked() -> None:
    assert row(figure(40.0), record(LITERAL, (PLAIN, "PGD", 0.2, 0))).cells[0].masked is None
    beyond = row(Figure("row", SWAPPED, "FGSM", 0.3, 60.0), record((SWAPPED, "FGSM", 0.3, 900), (SWAPPED, "PGD", 0.3, 0)))
    assert beyond.cells[0].masked is None


@pytest.mark.parametrize(("percent", "where"), [(25.0, "ε = 0.250"), (5.0, "at no ε"), (98.95, "without an attack (99.0 %)")])
def test_the_epsilon_at_which_our_model_shows_the_figure(percent: float, where: str) -> None:
    points = [(PLAIN, "FGSM", at, right) for at, right in ((0.0, 990), (0.1, 700), (0.3, 100))]
    assert where in row(figure(percent), record(*points, LITERAL)).words


def test_a_drop_is_clean_minus_attacked_and_pgd_beside_it_too() -> None:
    given = record((PLAIN, "FGSM", 0.0, 990), LITERAL, (PLAIN, "PGD", 0.2, 10))
    found = row(figure(59.0, "drop"), given).cells[0]
    assert found.measured is not None
    assert found.pgd is not None
    assert (found.measured.percent, found.pgd.percent) == pytest.approx((59.0, 98.0))


def test_a_reading_is_compared_with_the_literal_one_on_the_figures_it_changes() -> None:
    of = study(figure(68.0), figure(60.0, "clean"))
    given = record(LITERAL, HALVED, OTHER, (PLAIN, "FGSM", 0.0, 600), (SWAPPED, "FGSM", 0.0, 700))
    found = verdicts.fits(of, verdicts.table(of, given))
    assert [
        (fit.reading.words, fit.figures, *(round(one, 6) for one in (fit.mean, fit.largest, fit.literal)), fit.near)
        for fit in found
    ] == [("halved", 1, 2.0, 2.0, 28.0, 1), ("swapped", 2, 16.0, 22.0, 14.0, 0)]
    (told,) = [words for words in verdicts.summary(of, given) if "halved" in words]
    assert "2.0 points away on average and 2.0 at most over the 1 figures" in told


def test_a_factor_may_differ_from_dataset_to_dataset() -> None:
    fashion = "fashion-mnist/net-standard"
    readings = (Reading("literally"), Reading("standardized", {"mnist": 0.5, "fashion-mnist": 0.25}))
    of = study(figure(68.0), Figure("row", fashion, "FGSM", 0.4, 60.0), readings=readings)
    given = record(LITERAL, HALVED, (fashion, "FGSM", 0.4, 400), (fashion, "FGSM", 0.1, 640))
    (fit,) = verdicts.fits(of, verdicts.table(of, given))
    assert (fit.figures, round(fit.mean, 6), round(fit.largest, 6), round(fit.literal, 6)) == (2, 3.0, 4.0, 24.0)


def test_the_readings_of_lee_are_compared_over_the_whole_table() -> None:
    """The figures that P2's sentence rests on: literal 21.1, clipped 11.4, not clipped 4.1 with 10.6 at most."""
    lee = STUDIES["P2"]
    unclipped, clipped = verdicts.fits(lee, verdicts.table(lee, records.read("P2")))
    assert (unclipped.figures, clipped.figures) == (16, 16)
    assert (round(unclipped.mean, 1), round(clipped.mean, 1), round(unclipped.literal, 1)) == (4.1, 11.4, 21.1)
    assert round(unclipped.largest, 1) == 10.6


# --- claims and rows -------------------------------------------------------------------------------------------------------


def claimed(*cases: tuple[float, float] | None) -> str:
    """The answer to a claim whose cases have these intervals."""
    values = {str(place): case and Value(sum(case) / 2, case[0], case[1], None, 1, 1000) for place, case in enumerate(cases)}
    return verdicts.Answer(Claim("More.", {}), values).words


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([(1.0, 2.0)], "Yes."),
        ([(-2.0, -1.0)], "No."),
        ([(-1.0, 2.0)], "Too close to tell."),
        ([None], "Not measured here yet."),
        ([(1.0, 2.0), (-2.0, -1.0), (3.0, 4.0)], "Yes in 2 of 3 cases, no in 1."),
        ([(1.0, 2.0), (-1.0, 1.0), None], "Yes in 1 of 2 cases, no in 0, too close to tell in 1. 1 not measured here yet."),
    ],
)
def test_claims_are_answered_beyond_the_interval(cases: list[tuple[float, float] | None], words: str) -> None:
    assert claimed(*cases) == words


def test_a_claim_sums_what_was_measured() -> None:
    case: Sum = {Accuracy(PLAIN): 2.0, Accuracy(PLAIN, "FGSM", 0.2): -1.0}
    (answer,) = verdicts.answers(study(claims=(Claim("More.", {"case": case}),)), record((PLAIN, "FGSM", 0.0, 500), LITERAL))
    found = answer.cases["case"]
    assert found is not None
    assert found.percent == pytest.approx(60.0)
    assert answer.words == "Yes."


@pytest.mark.parametrize("key", STUDIES)
def test_flat_rows_hold_every_figure_and_reading(key: str) -> None:
    of = STUDIES[key]
    found = list(verdicts.rows(of, None))
    assert len(found) == sum(len(of.readings_of(item)) for item in of.figures)
    assert {item["verdict"] for item in found} == {"not measured"}
    for item in verdicts.rows(of, records.read(key)):
        if item["measured_percent"] is not None and item["measures"] != "drop":
            assert item["measured_low"] <= item["measured_percent"] <= item["measured_high"]
            assert item["measured_images"] > 0


def test_the_deeper_network_loses_more_of_its_clean_accuracy() -> None:
    """Q3's sentence follows from its record, and is not said of a record that shows something else."""
    of, given = STUDIES["Q3"], records.read("Q3")
    assert given is not None
    assert "ceiling effect" in " ".join(of.findings(given))
    half = tuple(
        dataclasses.replace(item, right=item.images // 2) if "preact" in item.model else item for item in given.measured
    )
    assert "ceiling effect" not in " ".join(of.findings(dataclasses.replace(given, measured=half)))


def test_the_verdict_of_a_study_says_what_holds_and_how_the_rest_differs() -> None:
    assert "Not measured" in verdicts.verdict(study(figure(40.0)), None)
    told = verdicts.verdict(study(figure(40.0), figure(30.0), figure(20.0)), record(LITERAL, HALVED))
    assert told == "1 of 3 figures within 3 points; in the other 2 ours is higher."


@pytest.mark.parametrize("key", [key for key, of in STUDIES.items() if of.claim])
def test_the_verdict_is_one_short_sentence_that_says_no_more_than_the_table(key: str) -> None:
    of, found = STUDIES[key], records.read(key)
    told, rows = verdicts.verdict(of, found), verdicts.table(of, found)
    assert len(told.split()) <= 15
    kinds = [row.kind for row in rows]
    same, near, differ = (sum(kind.startswith(words) for kind in kinds) for words in ("reproduced", "within", "differs"))
    begins = (
        f"{same} of {same + near + differ} figures reproduced, {near} more" if same else f"{near} of {near + differ} figures"
    )
    assert told.startswith(f"{begins} within 3 points")
    # Only networks that stand for a published figure, as it was written.
    cells = [row.cells[0] for row in rows if row.figure.defended and row.figure.percent and row.cells[0].pgd]
    masked, defended = {cell.model for cell in cells if cell.masked}, {cell.model for cell in cells}
    several = "both our" if len(masked) == len(defended) == 2 else f"{len(masked)} of our {len(defended)}"
    assert (f"{several} defended networks" in told) == bool(masked and len(defended) > 1)
    assert ("masked" in told) == bool(masked)
    # Which models are masked, and by how much, is said in the study's own section.
    assert all(model in " ".join(verdicts.summary(of, found)) for model in masked)


def test_readings_that_measure_the_same_share_a_cell() -> None:
    clean = row(figure(90.0, "clean"), record((PLAIN, "FGSM", 0.0, 900)))
    assert [clean.under(reading).model for reading in READINGS] == [PLAIN, PLAIN, SWAPPED]
