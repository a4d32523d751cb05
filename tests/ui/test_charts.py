"""The charts show the numbers they are given."""

from __future__ import annotations

import itertools
from html import unescape

import pytest
import torch

from advcore.evaluation.curves import Predictions, RobustnessCurve
from advcore.evaluation.transfer import Transfer
from advcore.papers import robustbench, studies
from ui import charts

CURVE = RobustnessCurve((0.0, 0.1), (9, 4), 10)
LINE = charts.Trace("a model, FGSM", "#0072B2")
SEEN = Predictions((0.0, 0.1), torch.tensor([0, 0, 1, 2]), torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]]))


def test_accuracy_is_drawn_in_percent_with_its_interval() -> None:
    band, line = charts.accuracy_chart([(LINE, CURVE)]).data
    assert list(line.x) == [0.0, 0.1]
    assert list(line.y) == pytest.approx([90.0, 40.0])
    low, high = zip(*CURVE.interval, strict=True)
    assert list(band.y) == pytest.approx([100 * share for share in (*high, *low[::-1])])


def test_published_points_are_drawn_where_they_are_said_to_be() -> None:
    points = charts.Points("study", "#D55E00", "x", (0.1, 0.2), (0.9, 0.5))
    drawn = charts.accuracy_chart([(LINE, CURVE)], [points]).data[-1]
    assert list(drawn.x) == [0.1, 0.2]
    assert list(drawn.y) == pytest.approx([90.0, 50.0])


def test_the_share_of_fooled_images_grows_with_epsilon() -> None:
    (line,) = charts.fooled_chart([(LINE, SEEN)]).data
    assert list(line.x) == [0.0, 0.1]
    assert list(line.y) == pytest.approx([25.0, 75.0])
    again = Predictions((0.0, 0.1), SEEN.labels, SEEN.predicted.flip(0))  # three are wrong at 0, and one of them at 0.1
    assert list(charts.fooled_chart([(LINE, again)]).data[0].y) == pytest.approx([75.0, 75.0])


def test_lines_are_named_at_their_ends_apart_from_each_other() -> None:
    curves = [(charts.Trace(f"{number}", "#0072B2", label=f"line {number}<br>FGSM"), CURVE) for number in range(5)]
    drawn = charts.accuracy_chart(curves)
    heights = sorted(note.y for note in drawn.layout.annotations)
    assert len(heights) == 5
    assert all(high - low >= 8.9 for low, high in itertools.pairwise(heights))
    assert 0 <= heights[0] <= heights[-1] <= 100
    assert not any(line.showlegend for line in drawn.data)


def test_a_long_name_is_broken_and_takes_the_room_of_its_lines() -> None:
    long = charts.Trace("long", "#0072B2", label="FGSM-trained from a random start, ε 0.0314<br>PGD-20")
    notes = charts.accuracy_chart([(long, CURVE), (long, CURVE)]).layout.annotations
    assert all(max(len(line) for line in note.text.split("</span> ")[1].split("<br>")) <= 24 for note in notes)
    assert abs(notes[0].y - notes[1].y) >= 13.4, "three lines"


def test_classes_and_confusion_count_at_one_epsilon() -> None:
    (bars,) = charts.per_class_chart([(LINE, SEEN)], 1, ["a", "b", "c"]).data
    assert list(bars.y) == pytest.approx([50.0, 0.0, 0.0])
    (heat,) = charts.confusion_chart(SEEN, 1, ["a", "b", "c"], "#0072B2").data
    assert [list(row) for row in heat.customdata] == [[1, 1, 0], [1, 0, 0], [0, 1, 0]]


def test_transfer_says_each_share_and_names_its_rows() -> None:
    names = [f"<b>model {letter}</b>, trained from a random start" for letter in "abcdefghijklmnop"]
    answers = torch.zeros(16, 16, 2, dtype=torch.long)
    found = Transfer(tuple(names), torch.tensor([0, 1]), torch.zeros(16, 2, dtype=torch.long), answers)
    drawn = charts.transfer_chart(found, names, (0, 1))
    heat = drawn.data[0]
    assert len(heat.y) == 17
    assert [unescape(row).replace("<br>", " ") for row in heat.y[1:]] == [f"{at} · {name}" for at, name in enumerate(names, 1)]
    assert not any("<b>" in row for row in heat.y)
    assert {word for row in heat.text for word in row} == {"50"}
    assert heat.showscale is not False
    assert heat.colorbar.title.text


def test_names_of_classes_are_shown_and_not_obeyed() -> None:
    names = ["<b>a</b>", '<a href="https://example.org">b</a>', "c & d"]
    (bars,) = charts.per_class_chart([(LINE, SEEN)], 1, names).data
    (heat,) = charts.confusion_chart(SEEN, 1, names, "#0072B2").data
    for shown in (bars.x, heat.x, heat.y):
        assert [unescape(name) for name in shown] == names
        assert not any("<" in name for name in shown)


def test_published_curves_stand_at_their_epsilons_under_each_reading() -> None:
    found = studies.published_curves("mnist")
    before, standardized, after, _ = found
    assert [curve.literal for curve in found] == [True, False, True, False]
    assert [curve.defended for curve in found] == [False, False, True, True]
    assert dict(zip(before.epsilons, before.accuracy, strict=True))[0.3] == 0.679
    assert dict(zip(after.epsilons, after.accuracy, strict=True))[0.8] == 0.6031
    assert standardized.epsilons[3] == pytest.approx(0.3 * 0.3081)
    assert studies.published_curves("digits") == []


def test_bars_lie_in_the_order_they_are_given_with_their_errors() -> None:
    drawn = charts.bars_chart(
        ["one", "two"],
        [
            charts.Bars("published", "#888888", (50.0, None), pattern="/"),
            charts.Bars("ours", "#0072B2", (40.0, 30.0), ((1.0, 3.0), (2.0, 4.0))),
        ],
    )
    published, ours = drawn.data
    assert (list(published.x), list(published.y), published.orientation) == ([50.0, None], ["one", "two"], "h")
    assert published.marker.pattern.shape == "/"
    assert (list(ours.error_x.arrayminus), list(ours.error_x.array)) == ([1.0, 2.0], [3.0, 4.0])
    assert drawn.layout.yaxis.autorange == "reversed"


def test_published_and_ours_stand_on_one_line_joined_by_a_bar() -> None:
    known = charts.Compared("FGSM 0.3", "#0072B2", (10.0, 15.0), 40.0, (38.0, 43.0), 2.0, "MNIST")
    figures = [known, charts.Compared("clean", "#009E73", None, 98.0, group="MNIST")]
    drawn = charts.dumbbell_chart(figures)
    bar, _, published, ours, pgd = drawn.data
    assert (list(bar.x)[:2], list(published.x), list(ours.x), list(pgd.x)) == ([12.5, 40.0], [12.5], [40.0, 98.0], [2.0])
    assert bar.y[0] == published.y[0] == ours.y[0] == pgd.y[0] == drawn.layout.yaxis.tickvals[0]
    assert (list(published.error_x.array), list(ours.error_x.array)) == ([2.5], [3.0, 0.0])
    assert list(ours.error_x.arrayminus) == [2.0, 0.0]


def test_published_models_and_ours_are_drawn_at_their_accuracies() -> None:
    theirs = [charts.Model(each.title, each.network, each.clean, each.autoattack) for each in robustbench.CIFAR10]
    published, ours = charts.models_chart(theirs, [charts.Model("<b>x</b>", "y", 72.7, 41.0, "#009E73")]).data
    madry = robustbench.CIFAR10[1]
    assert (madry.title, madry.clean, madry.autoattack) == ("Madry et al. 2018", 87.14, 44.04)
    assert (published.x[1], published.y[1]) == (87.14, 44.04)
    assert len({each.name for each in robustbench.CIFAR10}) == len(published.x) >= 20
    assert (ours.x[0], ours.y[0]) == (72.7, 41.0)
    assert "<b>x</b>" not in ours.hovertext[0]
