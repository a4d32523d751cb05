"""The Accuracy page without a browser."""

from __future__ import annotations

from tests.pages.conftest import open_page


def test_it_opens_and_begins_to_measure() -> None:
    page = open_page("accuracy", dataset="digits", images="100", steps="10")
    assert not page.exception
    assert not page.error


def test_nothing_chosen_is_said() -> None:
    page = open_page("accuracy", dataset="digits")
    page.sidebar.multiselect[0].set_value([]).run()
    assert "at least one model" in page.info[0].value


def test_published_points_are_offered_where_a_study_has_them() -> None:
    assert [toggle.label for toggle in open_page("accuracy", dataset="mnist").sidebar.toggle] == ["Published points"]
    assert not open_page("accuracy", dataset="digits").sidebar.toggle
