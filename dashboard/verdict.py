"""What becomes of a person's verdict on a score."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from dashboard.words import with_unit
from perennial.errors import InputError, JournalError
from perennial.live.answer import AnswerRule
from perennial.live.journal.address import OFF, resolved
from perennial.live.scoring.one_review import Said, say
from perennial.live.scoring.reviews import ACCEPTED, CORRECTED, Review, Value, Verdict
from perennial.live.scoring.stock import Stock
from perennial.live.scoring.telling import tell_journal
from perennial.live.scoring.waiting import Score


@dataclass(frozen=True)
class Outcome:
    """What became of a verdict: whether the person's own review is kept, and a sentence about it."""

    is_kept: bool
    sentence: str
    warning: str = ""


def review_of(score: Score, verdict: Verdict, value: Value | None, note: str) -> Review:
    """A score's review; raises InputError for a verdict that says nothing or too much."""
    if verdict == CORRECTED and value is None:
        raise InputError("expected the right value beside Correct, found none; fill it in")
    if verdict != CORRECTED and value is not None:
        raise InputError("expected a right value beside Correct alone, found one; press Correct, or empty it")
    if verdict == ACCEPTED and score.predicted is None:
        raise InputError("expected a score that can be accepted, found none; press Correct or Reject")
    return Review(
        score.key, score.model_version, score.scored_at, score.predicted, verdict, value, note.strip()
    )


def changed(said: Said, verdict: Verdict, value: Value | None, note: str) -> Review:
    """Another review of the same score; raises InputError as `review_of` does."""
    was = said.review
    same = Score(was.key, {}, was.model_version, was.scored_at, was.predicted, None, None, None, "")
    return review_of(same, verdict, value, note)


def keep(
    stock: Stock,
    system: str,
    journal: str,
    review: Review,
    reviewer: str,
    now: datetime,
    over: Said | None = None,
) -> Outcome:
    """Keeps a review and tells the journal, whose address `journal` is that of the config.

    Raises:
        InputError: the reviewer has no name.
        DatabaseError: the review is not kept.
    """
    if not reviewer.strip():
        raise InputError("expected your name beside a review, found none; fill it in above")
    said = say(stock.engine, system, stock.name, review, reviewer.strip(), now, over)
    if (said.review, said.reviewer) != (review, reviewer.strip()):
        return Outcome(
            False,
            f"{said.reviewer} was first ({told(said)}), and theirs is kept; change it below if it is wrong",
        )
    return Outcome(
        True, f"kept: {key_words(review)} {review.verdict}", _journal_trouble(system, journal, said, now)
    )


def _journal_trouble(system: str, journal: str, said: Said, now: datetime) -> str:
    address = resolved(journal)
    if address == OFF:
        return ""
    try:
        tell_journal(system, [said.truth], now, address)
    except JournalError as error:
        return f"the review is kept, but the journal has not taken it: {error}; `run.py review import` tells it again"
    return ""


def told(said: Said) -> str:
    """A review in a few words: verdict, value, when.

    The moment is in UTC, to the minute.
    """
    review = said.review
    value = "" if review.value is None else f" to {shown(review.value)}"
    moment = datetime.fromisoformat(said.reviewed_at).astimezone(UTC)
    return f"{review.verdict}{value}, {moment:%Y-%m-%d %H:%M} UTC"


def key_words(review: Review | Score) -> str:
    """The key of a row, as people read it."""
    return ", ".join(f"{name} {value}" for name, value in review.key.items())


def shown(value: Value | None, rule: AnswerRule | None = None) -> str:
    """A score as people read it, with its unit where the rule is given."""
    if value is None:
        return "no answer"
    return value if isinstance(value, str) else with_unit(value, rule.unit if rule else "")


def heading(score: Score, rule: AnswerRule) -> str:
    """A line about a score, for a list."""
    trouble = ", flagged" if score.flag else ""
    return f"{key_words(score)}: {shown(score.predicted, rule)}{trouble}"
