"""Verdicts, computed from counts: each kind where it belongs, and nothing decided within the noise."""

from __future__ import annotations

import dataclasses

import pytest

from advcore.papers import replication, studies, verdicts
from advcore.papers.replication import Measurement, Record
from advcore.papers.studies import Claim, Comparison, Figure, Reading, Reason, Study, Term

PLAIN, SWAPPED = "mnist/net-standard", "mnist/net-fgsm-0.1"
READINGS = (Reading("literally", 1.0), Reading("halved", 0.5), Reading("swapped", 1.0, instead=((PLAIN, SWAPPED),)))


def study(percent: float | None, *, measures: studies.Measures = "FGSM", up_to: float | None = None) -> Study:
    """A study of one figure at ε = 0.2."""
    return Study(
        key="P9",
        name="",
        title="",
        authors="",
        claim="",
        conditions="",
        figures=(Figure("row", PLAIN, measures, 0.2, percent, up_to),),
        readings=READINGS,
        reasons=(
            Reason("masked", "because it is masked.", ("FGSM",)),
            Reason("lower", "because it is lower."),
            Reason("higher", "because it is higher."),
        ),
    )


def record(*found: tuple[str, str, float, int], missing: dict[str, str] | None = None, seed: int = 0) -> Record:
    """Counts out of a thousand for (model, attack, ε)."""
    rows = [Measurement(model, attack, at, seed, 1000, right, (0, 0)) for model, attack, at, right in found]
    return Record("P9", "", "", "", {}, False, 0.0, missing or {}, tuple(rows))


def verdict(of: Study, given: Record | None) -> verdicts.Verdict:
    (line,) = verdicts.lines(of, given)
    return line.verdict


LITERAL, HALVED, OTHER = (PLAIN, "FGSM", 0.2, 400), (PLAIN, "FGSM", 0.1, 700), (SWAPPED, "FGSM", 0.2, 900)


@pytest.mark.parametrize(
    ("percent", "kind", "words"),
    [
        (40.0, "reproduced", "0.0 points"),
        (42.9, "reproduced", "2.9 points"),
        (43.04, "reproduced", "3.0 points"),
        (36.96, "reproduced", "3.0 points"),
        (43.06, "not reproducible", "higher"),
        (43.1, "not reproducible", "higher"),
        (67.5, "another convention", "halved (2.5 points"),
        (91.0, "another convention", "swapped (1.0 points"),
        (20.0, "not reproducible", "lower"),
        (None, "not published", "beside"),
    ],
)
def test_each_kind(percent: float | None, kind: str, words: str) -> None:
    found = verdict(study(percent), record(LITERAL, HALVED, OTHER))
    assert found.kind == kind
    assert words in found.words


def test_a_range_is_met_anywhere_within() -> None:
    assert verdict(study(35.0, up_to=41.0), record(LITERAL)).kind == "reproduced"
    assert verdict(study(30.0, up_to=36.0), record(LITERAL)).kind == "not reproducible"


def test_what_was_not_measured_says_how_to() -> None:
    assert "--rebuild" in verdict(study(40.0), None).words
    told = verdict(study(40.0), record(HALVED, missing={PLAIN: "It is not here."}))
    assert (told.kind, "It is not here." in told.words) == ("not measured", True)


def test_masking_of_a_defended_model_is_said_beside_and_as_the_reason() -> None:
    figure = Figure("row", SWAPPED, "FGSM", 0.2, 60.0)
    defended = dataclasses.replace(study(60.0), figures=(figure,))
    (line,) = verdicts.lines(defended, record(OTHER, (SWAPPED, "PGD", 0.2, 50)))
    assert line.literal.pgd == 5.0
    assert "masked" in str(line.literal.masked)
    assert "because it is masked" in line.verdict.words
    assert any(words.startswith(f"⚠ {SWAPPED} holds 90.0%") for words in verdicts.summary(defended, [line]))
    (line,) = verdicts.lines(defended, record(OTHER, (SWAPPED, "PGD", 0.2, 700)))
    assert line.literal.masked is None


def test_an_undefended_model_masks_nothing() -> None:
    (line,) = verdicts.lines(study(40.0), record(LITERAL, (PLAIN, "PGD", 0.2, 0)))
    assert (line.literal.pgd, line.literal.masked) == (0.0, None)


def test_the_epsilon_of_a_published_figure_is_read_off_the_curve() -> None:
    points = [(PLAIN, "FGSM", at, right) for at, right in ((0.0, 990), (0.1, 700), (0.3, 100))]
    told = verdict(study(25.0), record(*points, LITERAL)).words
    # Between 0.2 (40 %) and 0.3 (10 %).
    assert "shows 25 % at ε = 0.250" in told
    assert "at no ε we measured" in verdict(study(5.0), record(*points, LITERAL)).words


def test_a_drop_is_clean_minus_fgsm() -> None:
    (line,) = verdicts.lines(study(59.0, measures="drop"), record((PLAIN, "FGSM", 0.0, 990), LITERAL))
    assert line.literal.measured == pytest.approx(59.0)
    assert line.verdict.kind == "reproduced"


def test_beside_a_drop_stands_the_drop_under_pgd() -> None:
    given = record((PLAIN, "FGSM", 0.0, 990), LITERAL, (PLAIN, "PGD", 0.2, 10))
    of = study(59.0, measures="drop")
    (line,) = verdicts.lines(of, given)
    assert line.literal.pgd == pytest.approx(98.0)
    assert verdicts.rows(of, given)[0]["pgd20_percent"] == pytest.approx(98.0)


@pytest.mark.parametrize(
    ("percent", "words"),
    [(20.0, "lower than all, 40.0"), (55.0, "between 40.0 and 90.0"), (95.0, "higher than all, 90.0")],
)
def test_a_reason_about_every_reading_is_true_of_every_reading(percent: float, words: str) -> None:
    reasons = (
        Reason("below all", "lower than all, {least:.1f}"),
        Reason("above all", "higher than all, {most:.1f}"),
        Reason("between", "between {least:.1f} and {most:.1f}"),
    )
    assert words in verdict(dataclasses.replace(study(percent), reasons=reasons), record(LITERAL, HALVED, OTHER)).words


def test_what_lies_among_the_readings_of_lee_is_said_to() -> None:
    """Said of a figure that no reading reaches, "no reading leaves as much" must be so."""
    lee = studies.STUDIES["P2"]
    for line in verdicts.lines(lee, replication.recorded("P2")):
        measured = [cell.measured for cell in line.cells if cell.measured is not None]
        if "no reading we tried leaves" in line.verdict.words:
            assert max(measured) < (line.figure.percent or 0)
        if "holds more under every reading" in line.verdict.words:
            assert min(measured) > (line.figure.percent or 0)


def test_an_epsilon_that_rounds_to_none_is_no_attack() -> None:
    points = [(PLAIN, "FGSM", at, right) for at, right in ((0.0, 990), (0.1, 700))]
    told = verdict(study(98.95), record(*points, LITERAL)).words
    assert "about as much without an attack (99.0 %)" in told
    assert "0.000" not in told


def test_fits_compare_on_the_same_figures() -> None:
    found = verdicts.fits(verdicts.lines(study(68.0), record(LITERAL, HALVED, OTHER)))
    assert [(fit.words, fit.figures, round(fit.away, 6), round(fit.literal_away, 6)) for fit in found] == [
        ("halved", 1, 2.0, 28.0),
        ("swapped", 1, 22.0, 28.0),
    ]


def test_a_convention_is_compared_as_one_thing_across_datasets() -> None:
    fashion = "fashion-mnist/net-standard"
    readings = (
        Reading("literally", 1.0),
        Reading("standardized (× 0.5)", 0.5, dataset="mnist", convention="standardized"),
        Reading("standardized (× 0.25)", 0.25, dataset="fashion-mnist", convention="standardized"),
    )
    both = (Figure("row", PLAIN, "FGSM", 0.2, 68.0), Figure("row", fashion, "FGSM", 0.4, 60.0))
    of = dataclasses.replace(study(68.0), figures=both, readings=readings)
    found = verdicts.lines(of, record(LITERAL, HALVED, (fashion, "FGSM", 0.4, 400), (fashion, "FGSM", 0.1, 640)))
    (fit,) = verdicts.fits(found)
    assert (fit.words, fit.figures, round(fit.away, 6), round(fit.literal_away, 6)) == ("standardized", 2, 3.0, 24.0)
    assert any(words.startswith("“standardized” fits better: 3.0 points") for words in verdicts.summary(of, found))


def test_an_accuracy_has_its_images_and_wilsons_interval() -> None:
    rows = tuple(Measurement(PLAIN, "PGD", 0.1, seed, 300, right, (0, 0)) for seed, right in enumerate((0, 0)))
    found = verdicts.value(Record("Q9", "", "", "", {}, False, 0.0, {}, rows), PLAIN, "PGD", 0.1)
    assert found is not None
    assert found.images == 300
    assert found.interval == pytest.approx((0.0, 1.26), abs=0.01)
    drop = verdicts.value(record((PLAIN, "FGSM", 0.0, 990), LITERAL), PLAIN, "drop", 0.2)
    assert drop is not None
    assert (drop.images, drop.interval) == (1000, None)


def test_the_rows_of_a_question_say_how_many_images() -> None:
    for key in studies.QUESTIONS:
        given = replication.recorded(key)
        assert given is not None
        for row in verdicts.rows(studies.QUESTIONS[key], given):
            if row["missing"] is None:
                assert row["images"] in {item.images for item in given.measured if item.model == row["model"]}
                assert row["low_percent"] <= row["measured_percent"] <= row["high_percent"]


def claimed(*pairs: tuple[int, int]) -> verdicts.Answer:
    """The answer to `the first count is more than the second`, each out of a thousand."""
    comparisons = tuple(
        Comparison(str(place), (Term(f"mnist/a{place}", "clean"),), (Term(f"mnist/b{place}", "clean"),))
        for place, _ in enumerate(pairs)
    )
    rows = []
    for place, (first, second) in enumerate(pairs):
        rows += [(f"mnist/a{place}", "FGSM", 0.0, first), (f"mnist/b{place}", "FGSM", 0.0, second)]
    claim = Claim("More.", comparisons)
    (answer,) = verdicts.answers(studies.Study("P9", "", "", "", "", "", (), READINGS, (), claims=(claim,)), record(*rows))
    return answer


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([(900, 500)], "Yes."),
        ([(500, 900)], "No."),
        ([(901, 900)], "Too close to tell."),
        ([(900, 500), (500, 900), (800, 300)], "Yes in 2 of 3 cases, no in 1."),
        ([(900, 500), (500, 501)], "Yes in 1 of 2 cases, no in 0, too close to tell in 1."),
    ],
)
def test_claims_are_answered_beyond_the_noise(pairs: list[tuple[int, int]], words: str) -> None:
    assert claimed(*pairs).words == words


def test_weights_count() -> None:
    """Twice the first less the second."""
    comparison = Comparison("", (Term(PLAIN, "clean", weight=2.0),), (Term(PLAIN, "FGSM", 0.2),))
    found = verdicts.outcome(comparison, record((PLAIN, "FGSM", 0.0, 500), LITERAL))
    assert found.difference == pytest.approx(60.0)
    assert found.noise == pytest.approx((4 * 3.099**2 + 3.036**2) ** 0.5, abs=0.01)
    assert found.holds


def test_seeds_are_averaged_and_their_spread_is_told() -> None:
    rows = [Measurement(PLAIN, "FGSM", 0.0, seed, 1000, right, (0, 0)) for seed, right in enumerate((900, 910, 920))]
    found = verdicts.value(Record("Q9", "", "", "", {}, False, 0.0, {}, tuple(rows)), PLAIN, "clean")
    assert found is not None
    assert (found.percent, found.spread, found.seeds) == (91.0, 1.0, 3)
    assert verdicts.value(record(LITERAL), PLAIN, "clean") is None


@pytest.mark.parametrize("key", studies.ENTRIES)
def test_the_flat_rows_are_whole(key: str) -> None:
    """One for each figure and reading, or model and attack, with or without measurements."""
    of = studies.ENTRIES[key]
    rows = verdicts.rows(of, None)
    if isinstance(of, Study):
        assert len(rows) == sum(len(of.readings_of(figure)) for figure in of.figures)
        assert {row["verdict"] for row in rows} <= {"not measured"}
    else:
        assert len(rows) == len(of.subjects) * len(of.attacks)
