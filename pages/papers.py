"""Papers: what four studies published, measured again, and the questions they leave open."""

from __future__ import annotations

import streamlit as st

from advcore.errors import AdvcoreError
from advcore.papers import record, verdicts
from advcore.papers.record import Record
from advcore.papers.studies import STUDIES
from advcore.papers.study import Study
from ui import frame
from ui.frame import chosen, remember, report_unavailable
from ui.papers import drawings, report, sections
from ui.tiles import GREY, Tile, tiles
from ui.words import DEFENDED, FOOLED, markdown_safe

OPEN = "Q"
COLOURS = {"reproduced": DEFENDED, "within 3 points": DEFENDED, "not reproduced here": FOOLED}


def page() -> None:
    """A study, or the open questions, with their figures and exports."""
    st.markdown("## What do the studies' numbers say when measured again?")
    st.caption(
        "Four studies of FGSM and adversarial training, each figure beside ours under every reading of its ε. Beside every "
        "single step stands what PGD-20 leaves of the same model."
    )
    st.html(f"<style>{report.TABLE_CSS}</style>")
    titles = {key: f"{key} · {of.name}" for key, of in STUDIES.items() if of.claim} | {OPEN: "Open questions"}
    shown = st.pills(
        "Study",
        list(titles),
        format_func=titles.get,
        key=chosen("study", list(titles), next(iter(titles))),
        label_visibility="collapsed",
    )
    report_unavailable()
    for of in [of for of in STUDIES.values() if not of.claim] if shown == OPEN else [STUDIES[shown]]:
        with st.container(border=shown == OPEN):
            study(of)
    st.divider()
    st.download_button(
        "All studies and questions as one report",
        report.report([(of, recorded(of, say=False)) for of in STUDIES.values()]),
        file_name="papers-report.html",
        mime="text/html",
        icon=":material/print:",
        on_click="ignore",
    )
    remember(study=shown, data=st.session_state.get(f"data:{shown}"))


def recorded(of: Study, *, say: bool = True) -> Record | None:
    """Its recorded measurements; what is wrong with them is said on the page."""
    try:
        return record.read(of.key)
    except AdvcoreError as error:
        if say:
            st.error(markdown_safe(str(error)))
        return None


def study(of: Study) -> None:
    """A study from its claim to its exports; of an open question there is no claim and nothing published."""
    found = recorded(of)
    st.markdown(f"#### {'' if of.claim else f'{of.key} · '}{markdown_safe(of.title)}")
    if of.claim:
        source = f" · [arXiv {of.arxiv}](https://arxiv.org/abs/{of.arxiv})" if of.arxiv else ""
        st.caption(f"{markdown_safe(of.authors)}{source}")
        st.markdown(f"> **It claims:** {markdown_safe(of.claim)}")
    st.caption(markdown_safe(of.conditions))
    kinds = [row.kind for row in verdicts.table(of, found) if row.figure.percent is not None]
    counted = [(kind, kinds.count(kind)) for kind in report.ICONS if kind in kinds]
    tiles([Tile(f"{report.ICONS[kind]} {kind}", str(n), f"of {len(kinds)}", COLOURS.get(kind, GREY)) for kind, n in counted])
    if summary := verdicts.summary(of, found):
        st.markdown("##### What we found\n" + "\n".join(f"- {markdown_safe(words)}" for words in summary))
    st.markdown("##### The claims, checked")
    answers(of, found)
    if found:
        drawings.study_charts(of, found)
    st.markdown("##### Every figure, under every reading" if of.claim else "##### Every figure")
    st.html(report.table(of, found))
    st.caption(
        "In percent on the test split (drops in points), with 95 % intervals over the choice of test images and of seeds; ± is "
        f"the standard deviation over the seeds. {verdicts.RULE if of.claim else ''}"
    )
    if fits := report.fit_table(of, found):
        st.markdown("##### How well each reading fits the whole table")
        st.html(fits)
    for words in of.notes:
        st.markdown(f":material/info: {markdown_safe(words)}")
    sections.links(of)
    sections.exports(of, found)
    sections.again(of)
    st.caption(markdown_safe(report.origin(of, found)))


def answers(of: Study, found: Record | None) -> None:
    """Its claims with what the measurements say to each, case by case."""
    st.caption(
        "Differences in points, with 95 % intervals. They are paired over the test images that both sides share; where the "
        "record does not say which images were right, the widest possible interval is taken."
    )
    told = {True: "yes", False: "no", None: "too close"}
    for answer in verdicts.answers(of, found):
        st.markdown(f"- {markdown_safe(answer.claim.words)} **{markdown_safe(answer.words)}**")
        cases = {words: one for words, one in answer.cases.items() if one}
        if len(cases) > 1:
            parts = (
                f"{words}: {told[verdicts.holds(one)]} ({one.percent:+.1f}, {one.low:+.1f} to {one.high:+.1f})"
                for words, one in cases.items()
            )
            st.caption(markdown_safe("; ".join(parts)))


if __name__ == "__main__":
    frame.run()
