"""A trial of forecasts in the report: days that hang together, fallbacks that are no evidence, and late shadows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from releases import NOW
from scipy import stats
from scipy.signal import lfilter
from test_ab_report import PRICE, trial

from perennial.live.journal.outcomes import Outcome
from perennial.live.trial.exposure import PATIENCE
from perennial.live.trial.report import report
from perennial.live.trial.sequence import FEWEST, MOST_HANGING, autocorrelation, confidence_sequence, verdict
from perennial.live.trial.text import notes, sentence

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
STEPS = 24
RUNGS = {"champion": "champion", "challenger": "challenger", "shadow": "challenger"}


def steps(origin, arm, errors, unit=None, **other):
    """The journal's rows of one forecast whose truth is known a day after its last step."""
    request = f"{origin.isoformat()}-{unit}"
    return [
        Outcome(
            **{
                "prediction_id": f"{request}-{k}",
                "arm": arm,
                "time": origin,
                "model_version": "v1" if arm == "champion" else "v2",
                "inputs": {},
                "output": {"prediction": 100.0 + error},
                "latency_s": 0.1,
                "flag": "",
                "quality": RUNGS[arm],
                "request_id": request,
                "row": k,
                "unit": unit or origin.date().isoformat(),
                "about": (origin + k * HOUR).isoformat(),
                "truth": 100.0,
                "truth_source": "test",
                "truth_known_at": origin + STEPS * HOUR,
                **other,
            }
        )
        for k, error in enumerate(errors)
    ]


def said(on, rows, until=MIDNIGHT + 9999 * DAY, **more):
    return report(rows, replace(on, since=NOW), PRICE, until, **more)


def hanging(rng, hours, spread, by):
    """A first-order autoregressive series of errors; `by` from one hour to the next."""
    noise = rng.normal(0.0, spread * np.sqrt(1.0 - by**2), hours + 2000)
    return lfilter([1.0], [1.0, -by], noise)[2000:]


def two_models(rng, days, by, shift=0.0):
    """The errors of two models at every hour: a part that they share, and one of their own."""
    hours = days * 24 + STEPS
    shared = hanging(rng, hours, 1.0, by)
    ours, theirs = (shared + hanging(rng, hours, 0.5, by) for _ in range(2))
    return np.abs(ours) + max(shift, 0.0), np.abs(theirs) + max(-shift, 0.0)


def in_shadow(rng, days, per_day=1, by=0.97, shift=0.0):
    challenger, champion = two_models(rng, days, by, shift)
    rows = []
    for hour in range(0, days * 24, 24 // per_day):
        for arm, errors in (("champion", champion), ("shadow", challenger)):
            rows += steps(
                MIDNIGHT + hour * HOUR,
                arm,
                errors[hour : hour + STEPS],
                prediction_id=None,
                unit=(MIDNIGHT + hour * HOUR).date().isoformat(),
            )
    return trial("shadow", 1.0), [replace(r, prediction_id=f"{r.time.isoformat()}-{r.row}") for r in rows]


def day_differences(challenger, champion, days, per_day):
    """Per forecast, shape (days, per_day), the mean of what the challenger's steps lost more."""
    total = np.concatenate(([0.0], np.cumsum(challenger - champion)))
    origins = np.arange(0, days * 24, 24 // per_day)
    return ((total[origins + STEPS] - total[origins]) / STEPS).reshape(days, per_day)


def test_a_report_is_one_difference_per_day_in_a_sequence_that_hangs_together():
    on, rows = in_shadow(np.random.default_rng(1), 120, per_day=4)
    challenger, champion = two_models(np.random.default_rng(1), 120, 0.97)
    expected = day_differences(challenger, champion, 120, 4).mean(axis=1)
    found = said(on, rows)
    assert found.differences == 120 and found.missing == 0 and found.expected == 120 * 4 * STEPS
    for part, by_hand in zip(found.found, confidence_sequence(expected, in_series=True), strict=True):
        assert part == pytest.approx(by_hand)
    assert found.hanging == pytest.approx(autocorrelation(expected)[-1]) and found.hanging > 0.2
    assert f"they hang together by {found.hanging:.2f}" in " ".join(notes(found))
    assert found.as_dict()["autocorrelation"] == found.hanging
    alone = [replace(r, about=None) for r in rows]
    narrow, wide = (said(on, some).effect for some in (alone, rows))
    assert said(on, alone).hanging is None
    assert wide[2] - wide[1] > 1.2 * (narrow[2] - narrow[1])


def test_a_real_difference_between_forecasts_is_found():
    for shift, expected in ((-0.5, "better"), (0.5, "worse")):
        found = said(*in_shadow(np.random.default_rng(2), 200, shift=shift, by=0.9))
        assert found.verdict == expected and found.effect[1] < shift < found.effect[2], sentence(found)


def test_the_autocorrelation_is_the_one_of_the_definition_at_every_moment():
    values = 1e6 + hanging(np.random.default_rng(3), 400, 2.0, 0.6)
    found = autocorrelation(values)
    for t in (2, 17, 400):
        x = values[:t] - values[:t].mean()
        p = (x[1:] * x[:-1]).sum() / (x**2).sum()
        assert found[t - 1] == pytest.approx(np.clip(p + (1 + 3 * p) / t, 0, MOST_HANGING), abs=1e-6)
    assert autocorrelation(np.zeros(0)).shape == (0,) and (autocorrelation(np.ones(9)) <= 1.0).all()
    plain, wide = (confidence_sequence(values, in_series=s) for s in (False, True))
    ratio = (wide.high[-1] - wide.mean[-1]) / (plain.high[-1] - plain.mean[-1])
    assert ratio == pytest.approx(np.sqrt((1 + found[-1]) / (1 - found[-1])))
    turning = np.tile([1.0, -1.0], 100)
    assert confidence_sequence(turning, in_series=True).high[-1] == confidence_sequence(turning).high[-1]


@pytest.mark.parametrize("quality", ["previous champion", "seasonal naive", "last value"])
@pytest.mark.parametrize("mode", ["shadow", "split"])
def test_what_a_fallback_answered_is_no_evidence_about_a_model(mode, quality):
    on = trial(mode, 1.0 if mode == "shadow" else 0.5)
    arms = ("champion", "shadow") if mode == "shadow" else ("champion", "challenger")
    rng, rows, fallen = np.random.default_rng(4), [], []
    for day in range(150):
        origin = MIDNIGHT + day * DAY
        for unit in (None,) if mode == "shadow" else map(str, range(8 * day, 8 * day + 8)):
            for arm in arms if mode == "shadow" else [arms[on.tries(unit)]]:
                rows += steps(origin, arm, rng.exponential(1.0, 6), unit)
                fallen += steps(origin + 6 * HOUR, arm, [9.0] * 6, unit, quality=quality, model_version="v1")
    if mode == "shadow":
        # The history would do for neither model, so that the shadow is silent.
        fallen = [row for row in fallen if row.arm == "champion"]
    plain = said(on, rows)
    found = said(on, sorted(rows + fallen, key=lambda row: row.time))
    assert plain.differences >= FEWEST and found.fallbacks == len(fallen) and plain.fallbacks == 0
    assert (found.arms, found.expected, found.blocked) == (plain.arms, plain.expected, "")
    for part, same in zip(found.found, plain.found, strict=True):
        assert part == pytest.approx(same)
    assert f"left out: {len(fallen):,} rows that a fallback answered" in " ".join(notes(found))


def test_a_challenger_that_cannot_answer_what_the_champion_can_is_not_judged():
    on, rows = in_shadow(np.random.default_rng(5), 150, shift=-0.5, by=0.5)
    silent = {(MIDNIGHT + day * DAY).date().isoformat() for day in range(0, 150, 40)}
    kept = [row for row in rows if row.arm == "champion" or row.unit not in silent]
    assert said(on, rows).verdict == "better"
    found = said(on, kept)
    assert found.verdict == "blocked" and found.missing == len(silent) * STEPS


def test_a_champions_answer_to_a_unit_of_the_challengers_is_a_failure_that_blocks():
    on, rng, rows = trial("split", 0.5), np.random.default_rng(6), []
    for place in range(3000):
        unit = f"u{place}"
        is_tried = on.tries(unit)
        for again in range(3):
            # Every unit is answered often enough by its arm, so that the counts of units fit their shares.
            arm = (
                "champion"
                if again == 2 and is_tried and place % 10 == 0
                else ("champion", "challenger")[is_tried]
            )
            rows += steps(MIDNIGHT + (3 * place + again) * HOUR, arm, rng.exponential(1.0, 1), unit)
    whole = [row for row in rows if (row.arm == "challenger") == on.tries(row.unit)]
    assert said(on, whole).verdict == "inconclusive" and said(on, whole).failed == 0
    found = said(on, rows)
    failed = len(rows) - len(whole)
    assert failed > 50 and (found.failed, found.elsewhere) == (failed, 0)
    assert (
        found.verdict == "blocked"
        and found.ratio_p > 0.001
        and f"found {failed:,} answered by" in sentence(found)
    )
    assert f"left out: {failed:,} rows that the champion answered" in " ".join(notes(found))


def test_a_shadow_may_answer_after_the_trial_ended_and_is_waited_for():
    on, rows = in_shadow(np.random.default_rng(7), 130)
    end = MIDNIGHT + 130 * DAY
    # The last forecast of the champion was made a minute before the end, and the shadow answers two minutes later.
    last = [r.row for r in rows if r.time == MIDNIGHT + 129 * DAY]
    assert last
    moved = [
        r
        if r.time < MIDNIGHT + 129 * DAY
        else replace(r, time=end + (timedelta(minutes=1) if r.arm == "shadow" else -timedelta(minutes=1)))
        for r in rows
    ]
    whole = said(on, moved, until=end, read=end + 2 * PATIENCE)
    assert (whole.expected, whole.missing, whole.differences) == (130 * STEPS, 0, 130)
    cut = [r for r in moved if r.time < end]
    assert said(on, cut, until=end).expected == 129 * STEPS and said(on, cut, until=end).missing == 0
    never = said(on, cut, until=end, read=end + 2 * PATIENCE)
    assert (never.expected, never.missing) == (130 * STEPS, STEPS)
    after = steps(end + HOUR, "champion", [1.0]) + steps(end + HOUR, "shadow", [5.0])
    again = said(on, moved + after, until=end, read=end + 2 * HOUR)
    assert again.arms == whole.arms and (again.expected, again.missing) == (whole.expected, 0)


def looked_at_all_the_time(per, in_series):
    """The first verdict of somebody who looks after every forecast; `per` as of `day_differences`."""
    done = per.mean(axis=1)
    for day in range(FEWEST - 1, len(per)):
        for place in range(per.shape[1]):
            seen = np.append(done[:day], per[day, : place + 1].mean())
            told = verdict(confidence_sequence(seen, in_series=in_series))
            if told in ("better", "worse"):
                return told
    return "inconclusive"


@pytest.mark.torture
@pytest.mark.parametrize("by_day", [0.0, 0.2, 0.5, 0.8, 0.9])
def test_looking_after_every_forecast_makes_few_false_winners_of_errors_that_hang_together(by_day, tell):
    """Four forecasts of a day each, whose errors are correlated by `by_day` from one day to the next."""
    runs, wrong = 100, {True: 0, False: 0}
    for seed in range(runs):
        pair = two_models(np.random.default_rng((seed, round(100 * by_day))), 300, by_day ** (1 / 24))
        per = day_differences(*pair, 300, 4)
        for in_series in wrong:
            wrong[in_series] += looked_at_all_the_time(per, in_series) != "inconclusive"
    tell(
        f"trials of forecasts: {wrong[True] / runs:.0%} false verdicts over {runs} without a difference, 804 looks "
        f"each, errors of two days correlated by {by_day:g} ({wrong[False] / runs:.0%} if taken for independent)"
    )
    assert stats.binomtest(wrong[True], runs, 0.05, alternative="greater").pvalue > 0.01
    assert wrong[False] > 10 or by_day < 0.5
