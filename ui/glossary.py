"""The field's words: each is explained in two sentences, which open where the word is tapped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import streamlit as st

from advcore.attacks import ATTACKS


@dataclass(frozen=True)
class Term:
    """A word, other ways to write it, what it means, and where that is said: authors with the year, and an arXiv number."""

    word: str
    meaning: str
    paper: str
    arxiv: str
    forms: tuple[str, ...] = ()


def _attack(name: str, word: str, meaning: str, *forms: str) -> Term:
    """The term of an attack, with the paper that its entry names."""
    return Term(word, meaning, ATTACKS[name].paper, ATTACKS[name].arxiv, forms)


_TERMS = (
    Term(
        "ε",
        "The largest change that an attack may make to any pixel value, where black is 0 and white is 1. "
        "ε = 0.1 is a tenth of the brightness range, or 25.5 of the 255 steps from black to white.",
        "Goodfellow et al. 2015",
        "1412.6572",
    ),
    Term(
        "L∞",
        "A way to measure a change by its largest value: no pixel may change by more than ε, and all may change at once. "
        "L2, by contrast, is the root of the sum of all squared changes.",
        "Madry et al. 2018",
        "1706.06083",
    ),
    Term(
        "gradient",
        "It says for each pixel in which direction, and how strongly, a small change raises the model's error. "
        "Attacks follow it upward; training follows that of the weights downward.",
        "Goodfellow et al. 2015",
        "1412.6572",
        ("gradients",),
    ),
    Term(
        "white box",
        "The attacker knows the model with all its weights, and can compute its gradient. "
        "In a black box only the answers are known.",
        "Carlini et al. 2019",
        "1902.06705",
        ("white-box",),
    ),
    Term(
        "masked",
        "A model's robustness is masked when weak attacks fail on it and stronger ones succeed. "
        "Its gradient misleads the attack, although fooling images are near.",
        "Athalye et al. 2018",
        "1802.00420",
        ("gradient masking", "masked robustness"),
    ),
    Term(
        "label leaking",
        "A model trained against a single step can read the class from the change that the attack makes. "
        "It is then more often right on attacked images than on clean ones, without being robust.",
        "Kurakin et al. 2017",
        "1611.01236",
    ),
    Term(
        "adversarial training",
        "Training on images that are attacked at every step with the network's own gradient. "
        "The network learns to keep its answers within ε, often at the cost of some clean accuracy.",
        "Madry et al. 2018",
        "1706.06083",
        ("adversarially trained",),
    ),
    _attack(
        "fgsm",
        "FGSM",
        "The fast gradient sign method moves every pixel by ε in one step, in the direction that raises the model's error, and "
        "cuts the result to the range from black to white. "
        "It is quick, and weaker than attacks of many steps.",
    ),
    _attack(
        "pgd",
        "PGD-20",
        "Projected gradient descent takes many small steps along the gradient, and brings the image back within ε after each. "
        "The number counts the steps.",
        "PGD-10",
        "PGD",
    ),
    _attack(
        "autoattack",
        "AutoAttack",
        "Four different attacks one after another, without a setting to choose. "
        "An image counts as robust only if none of them fools the model on it.",
    ),
)
GLOSSARY: dict[str, Term] = {form: term for term in _TERMS for form in (term.word, *term.forms)}
"""The terms by every way to write them. A new term is one entry in `_TERMS`."""
_FORMS = re.compile("|".join(rf"(?<!\w){re.escape(form)}(?!\w)" for form in sorted(GLOSSARY, key=len, reverse=True)), re.I)
_BY_LOWER = {form.lower(): term for form, term in GLOSSARY.items()}
_CSS = """<style>
.told { margin: 0; font-size: .875rem; line-height: 1.55; color: light-dark(#55606b, #aab4bd); }
.term { font: inherit; color: inherit; background: none; border: 0; padding: .1rem 0; cursor: pointer;
  text-decoration: underline dotted; text-underline-offset: .2em; }
.term:hover { color: light-dark(#00659C, #56B4E9); }
.term:focus-visible { outline: 3px solid light-dark(#00659C, #56B4E9); outline-offset: 2px; }
.meaning { max-width: min(26rem, 82vw); padding: 1rem 1.2rem; border-radius: .7rem; line-height: 1.5; font-size: 1rem;
  border: 1px solid light-dark(#d9e0e6, #2c3945); box-shadow: 0 .5rem 2rem rgba(0,0,0,.35);
  color: light-dark(#14202b, #e8eef3); background: light-dark(#fff, #19222b); }
.meaning b { display: block; margin-bottom: .3rem; } .meaning a { color: light-dark(#00659C, #56B4E9); }
</style>"""


def tell(text: str, *, key: str) -> None:
    """Draw a plain text as a caption in which each of the glossary's words can be tapped where it first occurs."""
    parts, end, told = [], 0, []
    for found in _FORMS.finditer(text):
        term = _BY_LOWER[found[0].lower()]
        if term in told:
            continue
        told.append(term)
        parts += [escape(text[end : found.start()]), _button(term, found[0], key)]
        end = found.end()
    st.html(f'{_CSS}<p class="told">{"".join(parts)}{escape(text[end:])}</p>{_meanings(told, key)}')


def words() -> None:
    """Draw all terms as a row of words to tap, as it stands at the foot of every page."""
    row = " · ".join(_button(term, term.word, "foot") for term in _TERMS)
    st.html(f'{_CSS}<p class="told">Words: {row}</p>{_meanings(_TERMS, "foot")}')


def _button(term: Term, shown: str, key: str) -> str:
    return f'<button type="button" class="term" popovertarget="{_id(term, key)}">{escape(shown)}</button>'


def _meanings(terms: Iterable[Term], key: str) -> str:
    """What the buttons open; the browser closes it on Escape or a tap beside it."""
    return "".join(
        f'<div popover id="{_id(term, key)}" class="meaning"><b>{escape(term.word)}</b>{escape(term.meaning)} '
        f'<a href="https://arxiv.org/abs/{term.arxiv}" target="_blank" rel="noreferrer">{escape(term.paper)}</a></div>'
        for term in terms
    )


def _id(term: Term, key: str) -> str:
    """An id on the page: a term can be told of in several places."""
    return re.sub(r"\W+", "-", f"term {key} {_TERMS.index(term)}")
