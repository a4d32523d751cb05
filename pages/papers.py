"""Papers: what four studies published, measured again, and open questions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import streamlit as st

from advcore.errors import AdvcoreError
from advcore.papers import record, verdicts
from advcore.papers.record import Record
from advcore.papers.studies import STUDIES
from advcore.papers.study import Chart, Study
from ui import frame, share
from ui.details import details
from ui.downloads import offer_file
from ui.frame import choose, heading, remember
from ui.papers import drawings, report, sections
from ui.words import markdown_safe

OPEN = "Q"
CHARTS: dict[Chart, str] = {
    "curves": "Accuracy against ε",
    "training": "The training, on held-out images",
    "models": "Every model under every attack",
    "map": "Other widths and amounts of training",
}


def page() -> None:
    """A card for each study, and one for the open questions; the chosen one with its chart and its details.

    As a screen of a presentation: the sentence of the chosen one, and its chart.
    """
    if not frame.presented():
        heading("What do the studies' numbers say when measured again?")
    st.html(f"<style>{report.TABLE_CSS}{CARDS_CSS}</style>")
    cards = {key: card(of) for key, of in STUDIES.items() if of.claim}
    questions = [of for of in STUDIES.values() if not of.claim]
    cards[OPEN] = f"**Open questions** {len(questions)} questions that the studies do not answer, measured here."
    with st.container(key="aside"):
        shown, asked = choose(st.pills, "Study", "study", cards, bare=True, required=True, width="stretch"), None
        if shown == OPEN:
            titles = {of.key: f"{of.key} · {markdown_safe(of.title)}" for of in questions}
            asked = choose(st.pills, "Question", "question", titles, bare=True, required=True)
    of = STUDIES[asked or shown]
    told = verdicts.verdict(of, recorded(of, say=False)) if of.claim else of.title
    if frame.presented():
        heading(markdown_safe(told))
    share.shows(f"{of.name}: {told}" if of.claim else told)
    remember(study=shown, question=asked, read=None, data=None)
    (study if of.claim else question)(of)
    remember(data=st.session_state.get(f"data:{of.key}"))


def card(of: Study) -> str:
    """A study's card: its name, and one sentence about what the measurements say."""
    return f"**{of.key} · {markdown_safe(of.name)}** {markdown_safe(verdicts.verdict(of, recorded(of, say=False)))}"


def recorded(of: Study, *, say: bool = True) -> Record | None:
    """Its recorded measurements; if they cannot be read, the page says why."""
    try:
        return record.read(of.key)
    except AdvcoreError as error:
        if say:
            st.error(markdown_safe(str(error)))
        return None


def study(of: Study) -> None:
    """A study: its claim, its figures beside ours, and the details."""
    found = recorded(of)
    source = f" · [arXiv {of.arxiv}](https://arxiv.org/abs/{of.arxiv})" if of.arxiv else ""
    if not frame.presented():
        st.markdown(f"## {markdown_safe(of.title)}")
    st.markdown(f"**It claims:** {markdown_safe(of.claim)} :small[:gray[{markdown_safe(of.authors)}{source}]]")
    reading = of.readings[0]
    if len(of.readings) > 1:
        words = {place: markdown_safe(each.words) for place, each in enumerate(of.readings)}
        place = choose(st.pills, "Read it as", "read", words, key=f"read:{of.key}", required=True)
        reading = of.readings[place]
        remember(read=place or None)
    if found:
        drawings.comparison(of, found, reading)
        st.caption(
            "Bars join each published figure to ours. Blue: undefended; green: adversarially trained. Thin lines: 95 % "
            f"intervals. FGSM on the whole test split, PGD-20 on its first {of.pgd_images:,} images."
        )
    frame.enough()
    with st.container(gap="xsmall"):
        behind("What we found, and its claims checked", partial(answers, of, found), "fact_check")
        behind("Every figure, under every reading", partial(tables, of, found), "table")
        for name in of.charts if found else ():
            behind(CHARTS[name], partial(drawings.study_chart, name, of, found, reading), "show_chart")
        conditions(of, found)
    uses(of, found)


def question(of: Study) -> None:
    """An open question: its answers, its models under each attack, and the details."""
    found = recorded(of)
    told = [answered(answer) for answer in verdicts.answers(of, found)]
    findings = of.findings(found) if found else []
    told += [markdown_safe(words) for words in findings]
    st.markdown("\n".join(f"- {words}" for words in told))
    for name in of.charts if found else ():
        drawings.study_chart(name, of, found, of.readings[0])
    frame.enough()
    with st.container(gap="xsmall"):
        behind("The answers, case by case", partial(answers, of, found, but=findings), "fact_check")
        behind("Every figure", partial(table, of, found), "table")
        conditions(of, found)
    uses(of, found)


def behind(label: str, draw: Callable[[], None], icon: str) -> None:
    """Draw something behind a heading; the next study has it open too."""
    details(label, draw, icon=icon, key=f"papers: {label}")


def answered(answer: verdicts.Answer) -> str:
    """A claim and what the measurements say to it, as Markdown."""
    return f"{markdown_safe(answer.claim.words)} **{markdown_safe(answer.words)}**"


def table(of: Study, found: Record | None) -> None:
    """Every figure with its interval, and what the words mean."""
    st.html(report.table(of, found))
    st.caption(
        "In percent on the test split (drops in points), with 95 % intervals over the choice of test images and of seeds; ± is "
        f"the standard deviation over the seeds. {verdicts.RULE if of.claim else ''}"
    )


def tables(of: Study, found: Record | None) -> None:
    """Every figure, and how well each reading fits all of them."""
    table(of, found)
    if fits := report.fit_table(of, found):
        st.markdown("**How well each reading fits the whole table**")
        st.html(fits)


def conditions(of: Study, found: Record | None) -> None:
    """How it was measured, and measuring again."""

    def draw() -> None:
        st.markdown(markdown_safe(of.conditions))
        st.markdown("\n".join(f"- {markdown_safe(words)}" for words in of.notes))
        st.caption(markdown_safe(report.origin(of, found)))

    behind("Conditions and notes", draw, "info")
    sections.again(of)


def uses(of: Study, found: Record | None) -> None:
    """Its models on other pages, and files of its figures."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sections.links(of)
        sections.exports(of, found)
        offer_file(
            "All studies in one report",
            lambda: report.report([(of, recorded(of, say=False)) for of in STUDIES.values()]),
            "papers-report.html",
            "print",
        )
    sections.beyond(of)


def answers(of: Study, found: Record | None, but: Collection[str] = ()) -> None:
    """What was found, except the sentences `but`, and for each claim what the measurements say, case by case."""
    st.markdown("\n".join(f"- {markdown_safe(words)}" for words in verdicts.summary(of, found) if words not in but))
    cases(of, found)


def cases(of: Study, found: Record | None) -> None:
    """For each claim what the measurements say, case by case."""
    st.caption(
        "Differences in points, with 95 % intervals, paired over the test images that both sides share. Where the record does "
        "not say which images were right, the interval is the widest possible."
    )
    told = {True: "yes", False: "no", None: "too close"}
    for answer in verdicts.answers(of, found):
        st.markdown(f"- {answered(answer)}")
        known = {words: one for words, one in answer.cases.items() if one}
        if len(known) > 1:
            parts = (
                f"{words}: {told[verdicts.holds(one)]} ({one.percent:+.1f}, {one.low:+.1f} to {one.high:+.1f})"
                for words, one in known.items()
            )
            st.caption(markdown_safe("; ".join(parts)))


CARDS_CSS = """
[class*="st-key-read-"] button, .st-key-question button { height: auto; max-width: 100%; text-align: left; }
[class*="st-key-read-"] button p, .st-key-question button p { white-space: normal; }
.st-key-study [role="radiogroup"] { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .6rem; }
.st-key-study button { height: 100%; width: 100%; max-width: none; border-radius: .7rem; padding: .7rem .9rem;
  justify-content: flex-start; align-items: flex-start; text-align: left; white-space: normal; }
.st-key-study button p { white-space: normal; font-size: .9rem; line-height: 1.4; overflow: visible; }
.st-key-study button strong { display: block; font-size: .95rem; margin-bottom: .15rem; }
"""


if __name__ == "__main__":
    frame.run()
