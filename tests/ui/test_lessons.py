"""A lesson is a file: what ours say, and what is said of a broken one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ui.lessons.activities import ACTIVITIES
from ui.lessons.lesson import LessonError
from ui.lessons.reading import FOLDER, lessons, read

LESSON = (FOLDER / "2-gradient.md").read_text()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.md"
    path.write_text(text)
    return path


def test_ours_are_whole() -> None:
    found, problems = lessons()
    assert problems == []
    assert len(found) == 5
    assert {lesson.activity for lesson in found} == set(ACTIVITIES)
    for lesson in found:
        assert len(re.findall(r"[.!?](?=\s|$)", lesson.explanation)) == 2, lesson.id


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("---\ntitle", "title", 1),
        ("title: One step along the gradient", "title One step", 2),
        ("title: One step along the gradient", "title:", 2),
        ("goal:", "title:", 3),
        ("activity: compare", "activity: dance", 4),
        ("mnist/general_cnn-standard", "mnist/no-such", 5),
        ("attacks: fgsm, sign_noise", "attacks: fgsm", 6),
        ("epsilon: 0.25", "epsilon: 25", 7),
        ("epsilon: 0.25\n", "", 8),
        ("epsilon: 0.25", "epsilon: 0.25\ncolour: red", 8),
        (", https://arxiv.org/abs/1412.6572", "", 8),
        ("# Predict\n", "Hello\n# Predict\n", 10),
        ("# Try", "# Play", 17),
        ("- [10 to 50]", "- [20 to 50]", 14),
        ("- [10 to 50]", "- (10 to 50)", 14),
    ],
)
def test_a_broken_one_is_one_sentence_with_its_file_and_line(tmp_path: Path, old: str, new: str, line: int) -> None:
    assert LESSON.count(old) >= 1
    with pytest.raises(LessonError, match=rf"^The lesson mine\.md is left out: line {line} [^\n]*\.$"):
        read(written(tmp_path, LESSON.replace(old, new, 1)))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"x" * 200_000])
def test_what_is_no_lesson_is_left_out(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.md"
    path.write_bytes(content)
    with pytest.raises(LessonError, match=r"mine\.md"):
        read(path)


def test_a_folder_adds_lessons_and_replaces_those_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCORE_LESSONS", str(tmp_path))
    (tmp_path / "6-mine.md").write_text(LESSON.replace("title: One", "title: My"))
    (tmp_path / "1-epsilon.md").write_text(LESSON)
    (tmp_path / "0-broken.md").write_text("Hello")
    found, problems = lessons()
    assert [lesson.title for lesson in found][::5] == ["One step along the gradient", "My step along the gradient"]
    assert len(found) == 6
    assert len(problems) == 1
    assert "0-broken.md" in problems[0]
    monkeypatch.setenv("ADVCORE_LESSONS", str(tmp_path / "nowhere"))
    assert (len(lessons()[0]), len(lessons()[1])) == (5, 1)


@pytest.mark.parametrize(("figure", "place"), [(0, 0), (9.9, 0), (10, 1), (50, 2), (100, 2), (1000, 2)])
def test_the_measured_figure_has_one_right_answer(tmp_path: Path, figure: float, place: int) -> None:
    assert read(written(tmp_path, LESSON)).right(figure) == place
