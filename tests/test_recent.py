"""Intervals that follow how the last ones held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perennial.live.answer import AnswerRule, Answers, Band, Interval, Recent, answer, rule_from
from perennial.live.recent import FEWEST_DAYS, factors, followed, ratios, scaled

DAYS, STEPS = 400, 6
LAST = Recent(90.0, 0.0)


def rule(scale: str = "identity", recent: Recent | None = LAST) -> AnswerRule:
    """Half widths that hold 80 and 95 % of a normal error of size 1."""
    interval = Interval(
        0.8, (), (-1.2816,), (1.2816,), further=(Band(0.95, (-1.96,), (1.96,)),), recent=recent
    )
    return AnswerRule("regression", "load", unit="MW", scale=scale, interval=interval)  # type: ignore[arg-type]


def series(sizes: np.ndarray, seed: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs, truths and moments of daily origins whose errors have these sizes, `STEPS` hours each."""
    random = np.random.default_rng(seed)
    origin = np.repeat(24.0 * np.arange(len(sizes)), STEPS)
    raw = random.normal(5.0, 1.0, len(origin))
    truth = raw + np.repeat(sizes, STEPS) * random.normal(size=len(origin))
    return raw, truth, np.column_stack([origin, origin + np.tile(np.arange(STEPS), len(sizes))])


def held(answers: Answers, own: AnswerRule, truth: np.ndarray) -> list[float]:
    return [float(((low <= truth) & (truth <= high)).mean()) for _, low, high in answers.bounds(own)]


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_they_hold_as_often_as_they_say_in_a_calmer_and_a_wilder_world(size: float) -> None:
    raw, truth, moments = series(np.full(DAYS, size))
    own = rule()
    fixed, following = answer(raw, own), followed(answer(raw, own), own, truth, moments)
    assert held(following, own, truth) == pytest.approx([0.8, 0.95], abs=0.03)
    if size != 1.0:
        assert abs(held(fixed, own, truth)[0] - 0.8) > 0.12


def test_they_widen_within_weeks_after_the_world_became_wild() -> None:
    sizes = np.where(np.arange(DAYS) < 200, 1.0, 3.0)
    raw, truth, moments = series(sizes)
    own = rule()
    found = followed(answer(raw, own), own, truth, moments)
    later = moments[:, 0] >= 24.0 * 290
    assert held(found.rows(later), own, truth[later])[0] == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("scale", ["identity", "log"])
def test_no_origin_looks_at_a_truth_that_was_not_known(scale: str) -> None:
    raw, truth, moments = series(np.full(60, 2.0))
    own = rule(scale, Recent(90.0, 30.0))
    truth = np.exp(truth) if scale == "log" else truth
    answers = answer(raw, own)
    whole = followed(answers, own, truth, moments)
    for origin in np.unique(moments[:, 0])[::7]:
        changed = np.where(moments[:, 1] + 30.0 > origin, truth * 9.0, truth)
        here = moments[:, 0] == origin
        again = followed(answers, own, changed, moments)
        assert again.low is not None and whole.low is not None
        assert np.array_equal(again.low[here], whole.low[here])


def test_what_lies_longer_ago_than_the_days_does_not_count() -> None:
    raw, truth, moments = series(np.where(np.arange(200) < 100, 50.0, 1.0))
    own = rule()
    found = factors(ratios(answer(raw, own), own, truth), moments, np.array([24.0 * 195]), own.interval)
    assert found == pytest.approx(np.ones((1, 2)), abs=0.2)


def test_few_days_leave_the_widths_as_they_were_learned() -> None:
    raw, truth, moments = series(np.full(DAYS, 5.0))
    own = rule()
    found = factors(
        ratios(answer(raw, own), own, truth), moments, 24.0 * np.arange(FEWEST_DAYS + 2), own.interval
    )
    assert (found[:FEWEST_DAYS] == 1.0).all()
    assert 1.0 < found[FEWEST_DAYS, 0] < found[FEWEST_DAYS + 1, 0] < 5.0


def test_a_truth_or_an_answer_that_is_missing_does_not_count() -> None:
    raw, truth, moments = series(np.full(40, 2.0))
    own = rule()
    gaps, holes = truth.copy(), raw.copy()
    gaps[::3], holes[1::3] = np.nan, np.nan
    some = np.isfinite(gaps) & np.isfinite(holes)
    at = np.array([24.0 * 39])
    found = factors(ratios(answer(holes, own), own, gaps), moments, at, own.interval)
    alone = factors(ratios(answer(raw[some], own), own, truth[some]), moments[some], at, own.interval)
    assert np.array_equal(found, alone) and found[0, 0] > 1.0


def test_a_wider_level_still_holds_a_narrower_one() -> None:
    own = rule()
    found = scaled(answer(np.zeros(2), own), own, np.array([[3.0, 0.1], [1.0, 1.0]]))
    (_, low, high), (_, lower, higher) = found.bounds(own)
    assert (lower <= low).all() and (high <= higher).all()


def test_without_the_rule_nothing_changes() -> None:
    raw, truth, moments = series(np.full(40, 3.0))
    own = rule(recent=None)
    answers = answer(raw, own)
    assert followed(answers, own, truth, moments) is answers


def test_a_model_keeps_the_rule() -> None:
    own = rule()
    assert rule_from(own.as_dict()) == own
    old = own.as_dict()
    del old["interval"]["recent"]
    assert rule_from(old) == replace(own, interval=replace(own.interval, recent=None))
