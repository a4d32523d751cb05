"""The glossary: two sentences a word, and words that are found in a text."""

from __future__ import annotations

import re

import pytest
from streamlit.testing.v1 import AppTest

from ui.glossary import GLOSSARY


@pytest.mark.parametrize("term", dict.fromkeys(GLOSSARY.values()), ids=lambda term: term.word)
def test_a_word_has_two_sentences_and_a_source(term) -> None:
    assert len(re.findall(r"[.!?](?=\s|$)", term.meaning)) == 2
    assert re.fullmatch(r"\d{4}\.\d{4,5}", term.arxiv)
    assert re.search(r"\b(19|20)\d\d$", term.paper)


def drawn(text: str) -> str:
    page = AppTest.from_string(f"from ui.glossary import tell\ntell({text!r}, key='here')").run()
    assert not page.exception
    return page.get("html")[0].proto.body


def test_a_word_can_be_tapped_where_it_first_occurs() -> None:
    html = drawn("PGD-20 and FGSM: FGSM is <b>one</b> step. Gradients mislead where Gradient masking is; preFGSM is no word.")
    opened = re.findall(r'popovertarget="([^"]+)">([^<]+)<', html)
    assert [word for _, word in opened] == ["PGD-20", "FGSM", "Gradients", "Gradient masking"]
    assert sorted(re.findall(r'popover id="([^"]+)"', html)) == sorted(name for name, _ in opened)
    assert len({name for name, _ in opened}) == 4
    assert "&lt;b&gt;one" in html
