"""Papers: what four studies published, measured again, and the questions they leave open."""

from __future__ import annotations

import streamlit as st

from advcore.errors import AdvcoreError
from advcore.papers import replication, verdicts
from advcore.papers.replication import Record
from advcore.papers.studies import Entry, Study
from ui.frame import chosen, remember, report_left_aside
from ui.papers import report, sections
from ui.tiles import Tile, tiles
from ui.words import DEFENDED, FOOLED, markdown_safe

OPEN = "Q"
TILES = (
    ("reproduced", "✓ reproduced", DEFENDED),
    ("another convention", "≈ under another convention", DEFENDED),
    ("not reproducible", "✗ not reproducible", FOOLED),
    ("not measured", "… not measured here yet", "rgba(128,128,128,.4)"),
)

st.markdown("## What do the studies' numbers say when measured again?")
st.caption(
    "Four studies of FGSM and adversarial training, each figure beside our own: read literally, and under the reading of ε "
    "that fits best. Beside every single step stands what PGD-20 leaves of the same model."
)
st.html(f"<style>{report.TABLE_CSS}</style>")
titles = {key: f"{key} · {study.name}" for key, study in sections.STUDIES.items()} | {OPEN: "Open questions"}
shown = st.pills(
    "Study",
    list(titles),
    format_func=titles.get,
    key=chosen("study", list(titles), next(iter(titles))),
    label_visibility="collapsed",
)
report_left_aside()


def recorded(of: Entry, *, say: bool = True) -> Record | None:
    """Its recorded measurements; what is wrong with them is said on the page."""
    try:
        return replication.recorded(of.key)
    except AdvcoreError as error:
        if say:
            st.error(markdown_safe(str(error)))
        return None


def study(of: Study) -> None:
    """A study from its claim to its exports."""
    record = recorded(of)
    source = f" · [arXiv {of.arxiv}](https://arxiv.org/abs/{of.arxiv})" if of.arxiv else ""
    st.markdown(f"#### {markdown_safe(of.title)}")
    st.caption(f"{markdown_safe(of.authors)}{source}")
    st.markdown(f"> **It claims:** {markdown_safe(of.claim)}")
    st.caption(markdown_safe(of.conditions))
    lines = verdicts.lines(of, record)
    kinds = [line.verdict.kind for line in lines if line.figure.percent is not None]
    tiles([Tile(title, str(kinds.count(kind)), f"of {len(kinds)}", tint) for kind, title, tint in TILES if kind in kinds])
    st.markdown("##### What we found")
    st.markdown("\n".join(f"- {markdown_safe(words)}" for words in verdicts.summary(of, lines)))
    st.markdown("##### Its claims, checked")
    answers(of, record)
    if record:
        sections.all_charts(of, record)
    st.markdown("##### Every figure")
    st.html(report.table(of, record))
    counts = [f"{attack} on the first {count:,} images" for attack, count in (record.counts if record else {}).items()]
    st.caption(
        f"In percent on the test split (drops, under PGD-20 too, in points); {', '.join(counts) or 'nothing is measured yet'}. "
        f"Reproduced: within {verdicts.WITHIN:.1f} points, to a tenth. "
        "⚠ masked: FGSM leaves 30 points more than PGD-20, or more."
    )
    if fits := report.fit_table(of, record):
        st.markdown("##### How well each reading fits")
        st.html(fits)
        with st.expander("Every figure under every reading", icon=":material/table_rows:"):
            sections.every_reading(of, record)
    for words in of.remarks:
        st.markdown(f":material/info: {markdown_safe(words)}")
    below(of, record)


def question(of: sections.Question) -> None:
    """A question, its answer, and the measurements it is drawn from."""
    record = recorded(of)
    st.markdown(f"#### {of.key} · {markdown_safe(of.title)}")
    st.caption(f"Asked by {of.asked_by}. {markdown_safe(of.how)}")
    answers(of, record)
    if record:
        sections.question_chart(of, record)
    st.html(report.table(of, record))
    st.caption(report.INTERVALS)
    below(of, record)


def answers(of: Entry, record: Record | None) -> None:
    """Its claims with what the measurements say to each, case by case."""
    for answer in verdicts.answers(of, record):
        st.markdown(f"- {markdown_safe(answer.claim.words)} **{markdown_safe(answer.words)}**")
        cases = [item for item in answer.outcomes if item.difference is not None]
        if len(cases) > 1:
            told = {True: "yes", False: "no", None: "too close"}
            parts = (
                f"{item.comparison.case}: {told[item.holds]} ({item.difference:+.1f} ± {item.noise:.1f})" for item in cases
            )
            st.caption(markdown_safe("; ".join(parts)))


def below(of: Entry, record: Record | None) -> None:
    """Where to go from here, and where the figures come from."""
    sections.links(of)
    sections.exports(of, record)
    sections.again(of)
    st.caption(
        markdown_safe(report.origin(record)) if record else f"Not measured yet: `python -m advcore papers run {of.key}`."
    )


if shown == OPEN:
    for item in sections.QUESTIONS.values():
        with st.container(border=True):
            question(item)
else:
    study(sections.STUDIES[shown])
st.divider()
st.download_button(
    "All studies and questions as one report",
    report.report([(of, recorded(of, say=False)) for of in sections.ENTRIES.values()]),
    file_name="papers-report.html",
    mime="text/html",
    icon=":material/print:",
    on_click="ignore",
)
remember(study=shown, data=st.session_state.get(f"data:{shown}"))
