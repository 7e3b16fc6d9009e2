"""The page where a person accepts, corrects or rejects scores."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard.loaded import champion
from dashboard.setting import Setting
from dashboard.trouble import told
from dashboard.verdict import Outcome, changed, heading, keep, key_words, review_of, shown
from dashboard.verdict import told as told_review
from dashboard.words import count, plain, sentence, stretch
from perennial.config_score import Score as Section
from perennial.live.answer import AnswerRule
from perennial.live.bundle import Bundle
from perennial.live.scoring.database import open_database
from perennial.live.scoring.one_review import Said, newest
from perennial.live.scoring.reviews import ACCEPTED, Review, Value, Verdict
from perennial.live.scoring.scores import find_scores
from perennial.live.scoring.stock import Stock, open_stock
from perennial.live.scoring.waiting import Kind, Score, Wanted, waiting_scores

AT_ONCE = 50
LATELY = 10
CLICKS_APART_S = 0.8
"""Two verdicts closer than this are a double click: nobody reads a score in less."""
KINDS: dict[Kind, str] = {
    "all": "all",
    "unanswered": "without an answer",
    "flagged": "flagged",
    "plain": "neither",
}
BUTTONS: dict[str, Verdict] = {"Accept": "accepted", "Correct": "corrected", "Reject": "rejected"}
OUTCOME, LAST, QUEUE, KEPT_AT = "review-outcome", "review-last", "review-queue", "review-kept-at"


@dataclass(frozen=True)
class Desk:
    """What is reviewed: the stock with its scores, and how they were made."""

    system: str
    section: Section
    stock: Stock
    rule: AnswerRule
    journal: str


def show(setting: Setting) -> None:
    """Draws the page."""
    st.title("Review scores")
    with told():
        section = setting.config.score
        if section is None:
            st.info(
                "This config names no table to score: add a section `score:` with url, table and key, and run "
                f"`python run.py score --config {setting.path}` (docs/scoring.md)."
            )
            return
        bundle = champion(setting)
        desk = Desk(
            bundle.manifest.system,
            section,
            _stock(section, bundle, bundle.digest),
            bundle.rule,
            setting.config.journal.address,
        )
        show_outcome()
        reviewer = st.text_input("Your name", key="reviewer", placeholder="stands beside every review")
        wanted = show_filter(desk.rule)
        queue = waiting(desk, wanted)
        if queue:
            show_score(desk, queue, reviewer)
        else:
            st.success("Nothing waits for a review under this filter.")
        show_lately(desk, reviewer)


@st.cache_resource(
    show_spinner="Looking at the table",
    max_entries=2,
    ttl=600,
    hash_funcs={Section: lambda section: section.model_dump_json()},
)
def _stock(section: Section, _bundle: Bundle, digest: str) -> Stock:
    return open_stock(open_database(section.url), section, _bundle.contract)


def show_outcome() -> None:
    """Says what became of the last verdict."""
    outcome: Outcome | None = st.session_state.pop(OUTCOME, None)
    if outcome is None:
        return
    (st.success if outcome.is_kept else st.warning)(plain(sentence(outcome.sentence)))
    if outcome.warning:
        st.warning(plain(sentence(outcome.warning)))


def show_filter(rule: AnswerRule) -> Wanted:
    """Draws the filter; returns what it says."""
    kinds, text, doubt = st.columns(3)
    kind = kinds.selectbox("Show", list(KINDS), format_func=KINDS.__getitem__, key="review-kind")
    part = text.text_input("Flag contains", key="review-text")
    if rule.task == "classification":
        label, about = "Probability at most (%)", "Of the class that was predicted."
        least = 100.0 - doubt.number_input(
            label, 0.0, 100.0, 100.0, 5.0, "%g", key="review-doubt", help=about
        )
    else:
        label, about = (
            "Interval at least (% of the value)",
            "How wide the interval is, beside the prediction.",
        )
        least = doubt.number_input(label, 0.0, None, 0.0, 10.0, "%g", key="review-doubt", help=about)
    return Wanted(kind, part.strip(), least / 100)


def waiting(desk: Desk, wanted: Wanted) -> list[Score]:
    """The scores that wait, read again when the filter changes or none is left."""
    kept = st.session_state.get(QUEUE)
    if kept is None or kept[0] != wanted or not kept[1]:
        place = find_scores(desk.stock, desk.section.into, desk.rule)
        found = waiting_scores(desk.stock, place, desk.rule, desk.system, wanted, AT_ONCE)
        st.session_state[QUEUE] = (wanted, found, len(found) == AT_ONCE)
    queue: list[Score] = st.session_state[QUEUE][1]
    return queue


def show_score(desk: Desk, queue: list[Score], reviewer: str) -> None:
    """Draws one score with its verdict, and the list of those behind it."""
    more = ", and more behind them" if st.session_state[QUEUE][2] else ""
    names = {heading(score, desk.rule): score for score in queue}
    name = st.selectbox(
        f"{count(len(queue), 'score')} to review{more}; the most uncertain first", list(names)
    )
    score = names[name]
    with st.container(border=True):
        left, right = st.columns(2)
        with left:
            show_prediction(score, desk.rule)
        right.dataframe(
            {"column": list(score.inputs), "value": [_cell(v) for v in score.inputs.values()]},
            hide_index=True,
            width="stretch",
        )
        asked = ask(f"{score.key}-{score.model_version}", desk.rule, score.predicted is not None)
    if asked:
        settle(desk, review_of(score, *asked), reviewer)


def show_prediction(score: Score, rule: AnswerRule) -> None:
    """Draws what was predicted, and what is to be said of it."""
    st.metric(plain(key_words(score)), shown(score.predicted, rule))
    if score.low is not None and score.high is not None:
        st.markdown(plain(stretch(score.low, score.high, rule.unit)))
    if score.probability is not None:
        st.markdown(f"with probability {100 * score.probability:.1f} %")
    for flag in filter(None, score.flag.split("; ")):
        st.warning(plain(sentence(flag)))
    st.caption(plain(f"{score.model_version}, scored {score.scored_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"))


def ask(
    name: str, rule: AnswerRule, can_accept: bool, note: str = ""
) -> tuple[Verdict, Value | None, str] | None:
    """Draws the verdict's form; returns what was pressed, None where nothing was."""
    value: Value | None
    with st.form(f"verdict-{name}", border=False):
        right, remark = st.columns(2)
        if rule.task == "classification":
            value = right.selectbox("Right class", rule.classes, None, placeholder="only beside Correct")
        else:
            unit = f" ({rule.unit})" if rule.unit not in ("", "1") else ""
            value = right.number_input(
                plain(f"Right value{unit}"), value=None, format="%.7g", placeholder="only beside Correct"
            )
        said = remark.text_input("Note", note)
        places = st.columns(len(BUTTONS))
        pressed = [
            verdict
            for place, (label, verdict) in zip(places, BUTTONS.items(), strict=True)
            if place.form_submit_button(
                label, disabled=verdict == ACCEPTED and not can_accept, width="stretch"
            )
        ]
    return (pressed[0], value, said) if pressed else None


def settle(desk: Desk, review: Review, reviewer: str, over: Said | None = None) -> None:
    """Keeps a review, takes its score off the list, and draws the page again."""
    state, clicked = st.session_state, time.monotonic()
    if LAST in state and clicked - state[KEPT_AT] < CLICKS_APART_S:
        state[OUTCOME] = replace(state[LAST], warning="a second click came at once, and was not counted")
        st.rerun()
    state[OUTCOME] = state[LAST] = keep(
        desk.stock, desk.system, desk.journal, review, reviewer, datetime.now(UTC), over
    )
    state[KEPT_AT] = time.monotonic()
    wanted, queue, has_more = state[QUEUE]
    done = (review.key, review.model_version)
    rest = [score for score in queue if (score.key, score.model_version) != done]
    state[QUEUE] = (wanted, rest, has_more)
    st.rerun()


def show_lately(desk: Desk, reviewer: str) -> None:
    """Draws the newest reviews; a later one takes the place of an earlier one."""
    said = newest(desk.stock.engine, desk.system, desk.stock.name, LATELY)
    if not said:
        return
    st.subheader("Reviewed lately")
    st.caption("To undo a review, say something else: the later one counts.")
    for one in said:
        label = f"{key_words(one.review)}: {told_review(one)}, {one.reviewer}"
        with st.expander(plain(label)):
            seen = shown(one.review.predicted, desk.rule)
            st.markdown(plain(f"{seen} by {one.review.model_version}"))
            name = f"{one.review.key}-{one.review.model_version}-{one.reviewed_at}"
            asked = ask(name, desk.rule, one.review.predicted is not None, one.review.note)
        if asked:
            settle(desk, changed(one, *asked), reviewer, one)


def _cell(value: Any) -> str:
    return "" if value is None else str(value)
