"""What is measured for promotion beside metrics: coverage, calibration, segments and speed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from releases import NOW, build, tables
from scipy.stats import binomtest, ttest_1samp

from perennial.config import Promotion
from perennial.errors import StalePromotionError
from perennial.evidence import Evaluation, Metric
from perennial.learn.clusters import above_zero_p, clusters_of, mean_of, share_interval
from perennial.learn.compare import Contender, compare, row_losses
from perennial.learn.judge import judge
from perennial.learn.measured import calibration, compare_segments, coverage
from perennial.live import release, speed
from perennial.live.answer import AnswerRule, Answers, Interval
from perennial.live.bundle import open_bundle
from perennial.live.outcome import settle
from perennial.live.sign import key_pair
from perennial.table import Column, Contract, Table

RULE = AnswerRule("regression", "load_mw", "MW", interval=Interval(0.9, (), (-1.0,), (1.0,)))


def series(origins=60, ahead=4, every=1):
    """Rows of a series: every `every` days an origin, looking `ahead` days ahead."""
    start = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(np.arange(origins) * every, unit="D")
    known_at = np.repeat(start, ahead)
    contract = Contract(
        "load",
        (
            Column("id", "text", "id", role="id"),
            Column("time", "time", "time", role="time"),
            Column("known_at", "time", "origin", role="known_at"),
            Column("hour", "number", "hour", unit="h"),
            Column("load_mw", "number", "load", role="target", unit="MW"),
        ),
    )
    steps = np.tile(np.arange(1, ahead + 1), origins)
    frame = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(len(steps))],
            "time": known_at + pd.to_timedelta(steps, unit="D"),
            "known_at": known_at,
            "hour": steps.astype(float),
            "load_mw": np.random.default_rng(0).normal(size=len(steps)),
        }
    )
    return Table(frame, contract)


def test_rows_of_a_series_are_put_in_blocks_of_origins_and_others_by_id():
    table = series()
    clusters = clusters_of(table)
    assert all(
        len(set(clusters[table.frame["known_at"] == at])) == 1 for at in table.frame["known_at"].unique()
    )
    assert (
        np.bincount(clusters).tolist() == [16] * 15
    )  # 60 origins: blocks of 4, the cube root of 60 rounded up
    assert np.bincount(clusters_of(series(ahead=10)))[0] == 100
    plain = replace(table.contract, columns=tuple(c for c in table.contract.columns if c.role != "known_at"))
    twins = Table(table.frame.assign(id=np.repeat(["a", "b", "c"], 80)), plain)
    assert np.bincount(clusters_of(twins)).tolist() == [80, 80, 80]


def test_a_mean_of_independent_rows_has_the_textbook_error_and_that_of_copies_that_of_one():
    values = np.random.default_rng(1).normal(size=200)
    alone = mean_of(values, np.arange(200))
    assert alone.error == pytest.approx(values.std(ddof=1) / np.sqrt(200))
    copies = mean_of(np.repeat(values, 5), np.repeat(np.arange(200), 5))
    assert copies.error == pytest.approx(alone.error) and (copies.clusters, copies.rows) == (200, 1000)
    expected = ttest_1samp(values, 0.0, alternative="greater").pvalue
    assert above_zero_p(values, np.arange(200)) == pytest.approx(expected)
    assert above_zero_p(values, np.zeros(200, dtype=int)) == 1.0
    assert above_zero_p(np.ones(50), np.arange(50)) == 0.0


def test_the_interval_of_a_share_is_wilsons_and_wider_for_rows_that_hang_together():
    hits = np.arange(300) < 270
    low, high = share_interval(hits, np.arange(300), 0.95)
    expected = binomtest(270, 300).proportion_ci(0.95, method="wilson")
    # the clustered variance is that of a sample, n / (n - 1) times that of a binomial
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-3)
    together = share_interval(hits, np.arange(300) // 30, 0.95)
    assert together[0] < low and together[1] > high
    assert share_interval(np.ones(300, dtype=bool), np.arange(300) // 30, 0.95)[0] < 0.75
    assert share_interval(hits, np.zeros(300, dtype=int), 0.95) == (0.0, 1.0)


def test_the_share_interval_holds_the_true_share_as_often_as_it_says():
    rng = np.random.default_rng(5)
    held = []
    for _ in range(300):
        level = rng.beta(9, 1, 40)  # days differ: rows of one day are alike
        hits = rng.random((40, 24)) < level[:, None]
        low, high = share_interval(hits.reshape(-1), np.repeat(np.arange(40), 24), 0.95)
        held.append(low <= 0.9 <= high)
    assert 0.91 <= np.mean(held) <= 0.985


def test_coverage_is_counted_for_every_level():
    truth = np.random.default_rng(2).normal(size=4000)
    around = np.zeros(4000)
    wide = Interval(0.9, (), (-1.645,), (1.645,))
    found = coverage(
        Answers(around, around - 1.645, around + 1.645),
        replace(RULE, interval=wide),
        truth,
        np.arange(4000),
        0.05,
        10**9,
    )
    (one,) = found
    assert (
        one.level == 0.9 and one.share == np.mean(np.abs(truth) <= 1.645) and one.low < one.share < one.high
    )
    assert coverage(Answers(around), RULE, truth, np.arange(4000), 0.05, 10**9) == ()


def test_coverage_allows_for_the_rows_that_the_widths_were_learned_from():
    """Conformal intervals from as few rows as these are held against fall outside no oftener than they should."""
    rng = np.random.default_rng(6)
    missed = {True: [], False: []}
    for _ in range(400):
        width = np.quantile(np.abs(rng.normal(size=200)), 0.9, method="higher")
        truth, zero = rng.normal(size=200), np.zeros(200)
        answers = Answers(zero, zero - width, zero + width)
        for told in missed:
            (found,) = coverage(answers, RULE, truth, np.arange(200), 0.05, 200 if told else 10**9)
            missed[told].append(not found.low <= 0.9 <= found.high)
    assert np.mean(missed[True]) <= 0.075 < 0.1 < np.mean(missed[False])


def classes(probability, happened):
    names = np.array(["no", "yes"])
    answers = Answers(
        names[(probability > 0.5).astype(int)], probabilities=np.column_stack([1 - probability, probability])
    )
    return names[happened.astype(int)], answers, ("no", "yes"), np.arange(len(happened))


def test_perfect_probabilities_hardly_ever_exceed_the_noise_and_bad_ones_do():
    rng = np.random.default_rng(3)
    excess = []
    for seed in range(200):
        p = rng.beta(2, 2, 200)
        found = calibration(*classes(p, rng.random(200) < p), 0.05, 300, seed)
        assert found.error > 0.02  # what a plain expected calibration error of 200 rows shows
        excess.append(found.error > found.noise)
    assert np.mean(excess) <= 0.1
    p = rng.beta(2, 2, 2000)
    off = calibration(*classes(p, rng.random(2000) < np.clip(p + 0.2, 0, 1)), 0.05, 300, 1)
    assert off.error - off.noise > 0.1 and off.noise < 0.06


def test_the_calibration_error_is_that_of_the_formula():
    p = np.array([0.05, 0.08, 0.33, 0.37, 0.95, 1.0])
    happened = np.array([0, 1, 0, 1, 1, 1], dtype=bool)
    found = calibration(*classes(p, happened), 0.05, 100, 1)
    gaps = [abs(0.13 - 1), abs(0.70 - 1), abs(1.95 - 2)]
    assert found.error == pytest.approx(sum(gaps) / 6) and found.rows == 6


def test_segments_are_compared_on_their_own_rows():
    table = series(origins=200, ahead=4)
    truth = table.y
    hour = table.frame["hour"].to_numpy()
    rng = np.random.default_rng(4)
    noise = rng.normal(size=len(truth))
    fine = Contender("v2", Answers(truth + noise))
    worse_late = Contender("v2", Answers(truth + np.where(hour == 4, 1.6, 1.0) * noise))
    reference = Contender("v1", Answers(truth + rng.permutation(noise)))
    rules = Promotion()
    found = compare_segments(table, worse_late, reference, ("hour",), "absolute_error", rules)
    assert found.against == "v1" and sum(s.rows for s in found.compared) == len(table) and found.small == 0
    p_values = {s.value: s.p_value for s in found.compared}
    late = next(s for s in found.compared if "4" in s.value.split(" to ")[-1])
    assert late.p_value < 0.01 and late.p_value == min(p_values.values())
    own = row_losses("absolute_error", truth, worse_late.answers)
    assert {round(s.loss, 9) for s in found.compared} <= {
        round(own[hour == h].mean(), 9) for h in (1, 2, 3, 4)
    } | {round(own[np.isin(hour, pair)].mean(), 9) for pair in itertools.combinations((1, 2, 3, 4), 2)}
    honest = compare_segments(table, fine, reference, ("hour",), "absolute_error", rules)
    assert min(s.p_value for s in honest.compared) > 0.05
    few = compare_segments(table, fine, reference, ("hour",), "absolute_error", Promotion(segment_rows=5000))
    assert few.compared == () and few.small > 0


def test_speed_is_the_median_of_rounds_and_forgives_a_busy_machine():
    class Predictor:
        bundle = SimpleNamespace(golden={"rows": [{"x": 1}]})

        def answer_rows(self, rows):
            self.clock.now += next(self.times)

    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    predictor, clock = Predictor(), Clock()
    predictor.clock = clock
    usual = [0.001] * 98 + [0.02] * 2
    predictor.times = iter([9.0] + usual * 3 + [0.5] * 5 + usual)  # the first call warms up
    found = speed.speed_of(predictor, clock)
    assert found.median_ms == pytest.approx(1.0) and found.p99_ms == pytest.approx(20.0)
    assert found.calls == 4 * 100 + 5


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return key_pair(tmp_path_factory.mktemp("keys"))


def evaluation():
    holdout = tables("prices")[1]
    metric = Metric(name="mean_absolute_error", value=1.0, low=0.5, high=1.5, unit="GBP")
    losses = np.full(len(holdout), 1.0), np.full(len(holdout), 9.0)
    compared = compare("linear", "group_median", *losses, loss="absolute_error", seed=1, resamples=200)
    return Evaluation(
        system="prices",
        task="regression",
        candidate="linear",
        rows=len(holdout),
        metrics=tuple(
            metric.model_copy(update={"name": n})
            for n in ("mean_absolute_error", "root_mean_squared_error", "r2_score")
        ),
        baselines={"group_median": (metric,)},
        against_baselines=(compared,),
    )


def judged(releases, key, reference, rules):
    opened = open_bundle(reference.path, key.public_path)
    ticks = itertools.count()
    train, holdout = tables("prices")
    return opened, judge(
        opened,
        evaluation(),
        train,
        holdout,
        rules,
        ("fuel", "year"),
        200,
        7,
        releases,
        key.public_path,
        lambda: next(ticks) * 1e-4,
    )


def test_a_bundle_is_measured_as_it_serves_and_every_decision_stands_in_the_ledger(tmp_path, key):
    rules = Promotion(segment_rows=30, coverage_tolerance=0.5)
    first = build(tmp_path, key, "prices", 0.1)
    opened, judgement = judged(tmp_path, key, first, rules)
    assert judgement.decision.promote, judgement.decision.sentences(False)
    found = judgement.measured
    assert found["size_mb"] == opened.manifest.files[f"model.{opened.manifest.backend}"]["size"] / 1e6
    assert found["median_ms"] == pytest.approx(0.1) and found["calibration"] is None
    assert found["segments"]["against"] == "group_median" and len(found["segments"]["compared"]) == 3
    (covered,) = found["coverage"]
    holdout = tables("prices")[1]
    assert covered["level"] == 0.9 and covered["rows"] == len(holdout)
    assert settle(tmp_path, opened, judgement, key.public_path, NOW, {}).promoted

    second = build(tmp_path, key, "prices", 1e6)
    opened, judgement = judged(tmp_path, key, second, rules.model_copy(update={"size_mb": 1e-6}))
    assert {"champion", "segments", "size"} <= set(judgement.decision.failed)
    assert judgement.measured["segments"]["against"] == "v1"
    outcome = settle(tmp_path, opened, judgement, key.public_path, NOW, {"rows": 9})
    assert not outcome.promoted and outcome.champion == "v1"
    _, kept = release.history(tmp_path, "prices")
    assert (kept.facts.kind, kept.facts.version, kept.facts.from_version) == ("kept", "v2", "v1")
    assert kept.facts.reasons == judgement.decision.sentences(passed=False)
    assert (
        kept.facts.evidence["failed"] == list(judgement.decision.failed) and kept.facts.evidence["rows"] == 9
    )
    assert kept.facts.evidence["judgement"]["measured"] == judgement.measured

    again = settle(tmp_path, *judged(tmp_path, key, first, rules), key.public_path, NOW, {})
    assert "already serving" in again.sentence and len(release.history(tmp_path, "prices")) == 2


def test_two_challengers_at_once_a_refusal_hinders_nobody(tmp_path, key):
    rules = Promotion(segment_rows=30, coverage_tolerance=0.5)
    good = judged(tmp_path, key, build(tmp_path, key, "prices", 0.1), rules)
    late = judged(tmp_path, key, build(tmp_path, key, "prices", 0.2), rules)
    bad = judged(
        tmp_path, key, build(tmp_path, key, "prices", 1e6), rules.model_copy(update={"size_mb": 1e-6})
    )
    assert bad[1].ledger_head == good[1].ledger_head == 0
    settle(tmp_path, *bad, key.public_path, NOW, {})
    assert settle(tmp_path, *good, key.public_path, NOW, {}).promoted
    settle(tmp_path, *bad, key.public_path, NOW, {})
    assert [e.facts.kind for e in release.history(tmp_path, "prices")] == ["kept", "promotion", "kept"]
    with pytest.raises(StalePromotionError):
        settle(tmp_path, *late, key.public_path, NOW, {})
