"""Lessons from files: a header of `name: value` lines between two lines `---`, then the sections Predict, Try and Explain.

The files are in `lessons/` and in the folder that `ADVCORE_LESSONS` names, whose files replace ours of the same name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from advcore import attacks, data
from advcore.errors import AdvcoreError
from ui import load
from ui.lessons.activities import ACTIVITIES
from ui.lessons.lesson import Answer, Lesson, LessonError

FOLDER = Path(__file__).parents[2] / "lessons"
SECTIONS = ("Predict", "Try", "Explain")
_ALWAYS = ("title", "goal", "activity", "source")
_MOST_BYTES = 100_000
_NUMBER = r"(\d+(?:\.\d+)?)"
_ANSWER = re.compile(rf"- \[{_NUMBER} to {_NUMBER}\] (\S.*)")


def _epsilon(text: str) -> str | None:
    """What is wrong with the text as an ε, or None."""
    return None if re.fullmatch(_NUMBER, text) and 0 < float(text) <= 1 else "must be a number above 0 and up to 1"


def _attacks(text: str) -> str | None:
    names, known = [name.strip() for name in text.split(",")], attacks.offered()
    if len(names) != 2 or not set(names) <= set(known):
        return f"must name two attacks, separated by a comma, out of {', '.join(known)}"
    return None


def _model(text: str) -> str | None:
    try:
        load.find(text)
    except AdvcoreError as error:
        return f"names no model: {error}"
    return None


def _dataset(text: str) -> str | None:
    return None if text in data.datasets() else f"must be one of {', '.join(data.datasets())}"


_CHECKS: dict[str, Callable[[str], str | None]] = {
    "epsilon": _epsilon,
    "attacks": _attacks,
    "model": _model,
    "dataset": _dataset,
    "activity": lambda text: None if text in ACTIVITIES else f"must be one of {', '.join(ACTIVITIES)}",
    "source": lambda text: None if re.fullmatch(r"\S.* https?://\S+", text) else "must be a text followed by a web address",
}


def lessons() -> tuple[list[Lesson], list[str]]:
    """The lessons in the order of their file names, and a sentence for each file that is broken."""
    files, problems = {path.stem: path for path in FOLDER.glob("*.md")}, []
    if own := os.environ.get("ADVCORE_LESSONS"):
        if Path(own).is_dir():
            files |= {path.stem: path for path in Path(own).glob("*.md")}
        else:
            problems.append(f"ADVCORE_LESSONS names {own}, which is not a folder; its lessons are left out.")
    found = []
    for name in sorted(files):
        try:
            found.append(read(files[name]))
        except LessonError as error:
            problems.append(str(error))
    return found, problems


@dataclass
class _Line:
    """A line of a file."""

    file: str
    number: int
    text: str

    def wrong(self, what: str) -> LessonError:
        return LessonError(f"The lesson {self.file} is left out: line {self.number} {what}.")


def read(path: Path) -> Lesson:
    """The lesson in a file; raises LessonError, which names the file and the line."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LessonError(f"The lesson {path.name} is left out: it cannot be read as UTF-8 text.") from error
    if len(text) > _MOST_BYTES:
        raise LessonError(f"The lesson {path.name} is left out: it is longer than {_MOST_BYTES:,} characters.")
    lines = [_Line(path.name, number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    header, end = _header(lines or [_Line(path.name, 1, "")])
    activity = ACTIVITIES[header["activity"].text]
    settings = {name: _value(header, name, end).text for name in activity.settings}
    for name, line in header.items():
        if name not in (*_ALWAYS, *activity.settings):
            raise line.wrong(f"sets “{name}”, which the activity {header['activity'].text} does not know")
    sections = _sections(lines, end)
    question, answers = _question(*sections["Predict"])
    words, address = header["source"].text.rsplit(maxsplit=1)
    instructions, explanation = (_text(*sections[name]) for name in SECTIONS[1:])
    title, goal, name = (header[part].text for part in ("title", "goal", "activity"))
    source = (words.rstrip(","), address)
    return Lesson(path.stem, title, goal, name, settings, source, question, answers, instructions, explanation)


def _header(lines: list[_Line]) -> tuple[dict[str, _Line], _Line]:
    """The header's values by name, each with its line, and the line that ends it."""
    if lines[0].text != "---":
        raise lines[0].wrong("must be “---”, which begins the header")
    end = next((line for line in lines[1:] if line.text == "---"), None)
    if end is None:
        raise lines[-1].wrong("is the last one, but no second “---” has ended the header")
    found: dict[str, _Line] = {}
    for line in lines[1 : end.number - 1]:
        name, colon, value = (part.strip() for part in line.text.partition(":"))
        if not line.text.strip():
            continue
        if not colon or not value:
            raise line.wrong("must be a name, a colon and a value, as in “title: What is ε?”")
        if name in found:
            raise line.wrong(f"sets “{name}” a second time")
        found[name] = _Line(line.file, line.number, value)
    for name in _ALWAYS:
        _value(found, name, end)
    return found, end


def _value(header: dict[str, _Line], name: str, end: _Line) -> _Line:
    """A value that must be in the header, checked."""
    if name not in header:
        raise end.wrong(f"ends the header, in which “{name}: …” is missing")
    line = header[name]
    if name in _CHECKS and (problem := _CHECKS[name](line.text)):
        raise line.wrong(f"says “{name}: {line.text[:60]}”; “{name}” {problem.rstrip('.')}")
    return line


def _sections(lines: list[_Line], end: _Line) -> dict[str, tuple[_Line, list[_Line]]]:
    """Each section's heading and its lines."""
    found: dict[str, tuple[_Line, list[_Line]]] = {}
    current: list[_Line] | None = None
    for line in lines[end.number :]:
        if line.text.startswith("# "):
            name = line.text[2:].strip()
            if name not in SECTIONS or name in found:
                raise line.wrong(f"is the heading “{name[:40]}”; there must be one each of {', '.join(SECTIONS)}")
            current = []
            found[name] = line, current
        elif current is not None:
            current.append(line)
        elif line.text:
            raise line.wrong("stands before the first heading, which must be “# Predict”")
    for name in SECTIONS:
        if name not in found:
            raise lines[-1].wrong(f"is the last one, but there was no heading “# {name}”")
    return found


def _text(heading: _Line, lines: list[_Line]) -> str:
    text = "\n".join(line.text for line in lines).strip()
    if not text:
        raise heading.wrong("is a heading without a text below it")
    return text


def _question(heading: _Line, lines: list[_Line]) -> tuple[str, tuple[Answer, ...]]:
    """The question, and its answers, whose ranges join."""
    answers: list[Answer] = []
    for line in lines:
        if not line.text.startswith("- "):
            continue
        match = _ANSWER.fullmatch(line.text)
        if not match:
            raise line.wrong("must be an answer with its range, as in “- [0 to 10] Hardly any”")
        low, high = float(match[1]), float(match[2])
        if low >= high or (answers and low != answers[-1].high):
            raise line.wrong("must begin its range where the one before ends, and end it higher")
        answers.append(Answer(low, high, match[3]))
    if len(answers) < 2:
        raise heading.wrong("is followed by fewer than two answers")
    return _text(heading, [line for line in lines if not line.text.startswith("- ")]), tuple(answers)
