"""What is said of a trial: nothing before enough is known or where units got lost, and few false winners."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from releases import NOW
from scipy import stats

from perennial.live.answer import AnswerRule
from perennial.live.journal.outcomes import Outcome
from perennial.live.trial.assign import arm_of
from perennial.live.trial.book import Trial
from perennial.live.trial.loss import NoAnswerError, absolute_error, brier_error, class_of
from perennial.live.trial.report import Report, report
from perennial.live.trial.sequence import FEWEST, confidence_sequence, first_verdict
from perennial.live.trial.text import notes, sentence

PRICE = AnswerRule("regression", "price", "GBP")
KIND = AnswerRule("classification", "kind", classes=("old", "young"))
CLASSES = {"old": 0, "young": 1}


def trial(mode="split", share=0.5, number=2):
    return Trial(f"prices-{number}", mode, "v1", "v2", "d" * 64, share, number, NOW)


def row(place, arm, unit, output, truth, known=None, version=None, prediction_id=None):
    """One row of the journal, answered `place` seconds after the trial began."""
    moment = NOW + timedelta(seconds=place)
    return Outcome(
        prediction_id=prediction_id or f"p{place}",
        arm=arm,
        time=moment,
        model_version=version or ("v1" if arm == "champion" else "v2"),
        inputs={},
        output=output,
        latency_s=0.001,
        flag="",
        quality="",
        request_id=prediction_id or f"p{place}",
        row=0,
        unit=unit,
        about=None,
        truth=truth,
        truth_source=None if truth is None else "test",
        truth_known_at=None if truth is None else moment + timedelta(seconds=known or 0),
    )


def split(rng, units, shift=0.0, share=0.5, returns=1, spread=1.0, own=0.0, salt=2):
    """A split trial: every unit comes `returns` times, and has a loss of its own beside that of the moment."""
    on = trial(share=share, number=salt)
    of_unit = np.abs(rng.normal(0.0, own, units)) if own else np.zeros(units)
    rows = []
    for time in range(returns):
        lost = of_unit + rng.exponential(spread, units)
        for i in range(units):
            name = f"u{i}"
            arm = arm_of(name, on.name, on.shares)
            error = lost[i] + (shift if arm == "challenger" else 0.0)
            rows.append(row(time * units + i, arm, name, {"prediction": 10.0 + error}, 10.0))
    return on, rows


def shadow(rng, requests, shift=0.0, share=1.0, unit="u{}"):
    """A shadow trial: both arms answer the same rows, whose hardness they share."""
    on = trial("shadow", share)
    rows = []
    for i in range(requests):
        hard = 2.0 + rng.exponential(1.0)
        for arm, more in (("champion", 0.0), ("shadow", shift + rng.normal(0.0, 0.2))):
            output = {"prediction": 10.0 + hard + more}
            rows.append(row(i, arm, unit.format(i), output, 10.0, prediction_id=f"p{i}"))
    return on, rows


def said(on, rows, rule=PRICE) -> Report:
    return report(rows, on, rule, NOW + timedelta(days=1))


def test_a_real_difference_is_found_in_the_targets_unit():
    for make, shift, expected in (
        (split, -0.3, "better"),
        (split, 0.3, "worse"),
        (shadow, -0.1, "better"),
        (shadow, 0.1, "worse"),
    ):
        found = said(*make(np.random.default_rng(3), 4000, shift))
        assert found.verdict == expected, (make, shift, sentence(found))
        mean, low, high = found.effect
        assert low < shift < high and low < mean < high
        assert f"v2 is {expected} than v1" in sentence(found) and "GBP" in sentence(found)
        assert "however often you look" in sentence(found)


def test_no_difference_is_not_decided_and_too_little_is_not_enough():
    rng = np.random.default_rng(4)
    found = said(*split(rng, 4000))
    assert found.verdict == "inconclusive" and "may be better or worse" in sentence(found)
    few = said(*split(rng, 300))
    assert few.verdict == "not enough data" and few.effect is None and 0 < few.differences <= 300 // 4
    assert f"expected at least {FEWEST} differences" in sentence(few)
    assert said(trial(), []).verdict == "not enough data"
    assert said(trial("shadow"), []).as_dict()["arms"]["shadow"]["mean_loss"] is None


def false_wins(runs, looked, tell):
    """How many of `runs` trials without a difference ever had a winner or a loser, of which `looked` tells."""
    wrong = sum(looked(np.random.default_rng(seed)) in ("better", "worse") for seed in range(runs))
    tell(f"trials: {wrong / runs:.1%} false verdicts over {runs} without a difference")
    return stats.binomtest(wrong, runs, 0.05, alternative="greater").pvalue


def test_a_report_on_what_came_so_far_is_the_sequence_up_to_there():
    """So that looking at every moment is looking along one sequence."""
    for make, size in ((split, 4), (shadow, 1)):
        on, rows = make(np.random.default_rng(5), 1200)
        whole = said(on, rows)
        per_unit = len(rows) // 1200
        for units in (480, 800, 1200):
            part = said(on, rows[: units * per_unit])
            n = part.differences
            assert n <= units // size and (size > 1 or n == units)
            for found, expected in zip(part.found, whole.found, strict=True):
                assert found == pytest.approx(expected[:n])


@pytest.mark.parametrize(
    ("make", "count", "share"),
    [
        (split, 1000, 0.5),
        (shadow, 400, 1.0),
        pytest.param(split, 2400, 0.2, marks=pytest.mark.torture),
    ],
)
def test_looking_after_every_difference_makes_few_false_winners(make, count, share, tell):
    def looked(rng):
        return first_verdict(said(*make(rng, count, 0.0, share)).found)[1]

    assert false_wins(100, looked, tell) > 0.01


@pytest.mark.torture
@pytest.mark.parametrize("own", [0.0, 2.0])
def test_looking_again_and_again_while_the_same_units_return_makes_few_false_winners(own, tell):
    """Units have a level of their own and stay in their arm; a test that counts rows would call it a difference."""
    naive = 0

    def looked(rng):
        nonlocal naive
        on, rows = split(rng, 600, returns=8, own=own, salt=int(rng.integers(1_000_000)))
        found = [said(on, rows[: 600 * times]).verdict for times in range(1, 9)]
        arms = {arm: np.array([r.output["prediction"] for r in rows if r.arm == arm]) for arm in CLASSES_OF}
        naive += stats.ttest_ind(*arms.values()).pvalue < 0.01
        return next((verdict for verdict in found if verdict in ("better", "worse")), "inconclusive")

    assert false_wins(100, looked, tell) > 0.01
    tell(f"trials: a t-test of all rows, once, at 1 %, finds one in {naive / 100:.1%}")
    assert own == 0.0 or naive > 10


CLASSES_OF = ("champion", "challenger")


def test_units_that_got_lost_in_one_arm_block_every_verdict():
    on, rows = split(np.random.default_rng(6), 4000, shift=-0.5)
    assert said(on, rows).verdict == "better"
    kept = [r for i, r in enumerate(rows) if r.arm == "champion" or i % 5]
    found = said(on, kept)
    assert found.verdict == "blocked" and found.ratio_p < 0.001
    assert sentence(found).startswith("No verdict on v2: expected 0.5 : 0.5 of the units in the arms, found")
    unknown = [r if r.arm == "champion" or i % 5 else row_without_truth(r) for i, r in enumerate(rows)]
    found = said(on, unknown)
    assert found.ratio_p > 0.001 > found.known_ratio_p and found.verdict == "blocked"
    assert "units with a known truth" in sentence(found)


def row_without_truth(one):
    return Outcome(**{**vars(one), "truth": None, "truth_known_at": None})


def test_a_shadow_that_left_rows_out_is_not_judged():
    on, rows = shadow(np.random.default_rng(7), 1000, shift=-0.5)
    found = said(on, rows)
    assert (found.verdict, found.expected, found.missing) == ("better", 1000, 0)
    kept = [r for i, r in enumerate(rows) if r.arm == "champion" or i % 40 != 1]
    found = said(on, kept)
    assert found.verdict == "blocked" and found.missing == 50 and "1,000 rows, found 50" in sentence(found)


def test_a_pair_is_one_whichever_of_its_rows_comes_first():
    on, rows = shadow(np.random.default_rng(13), 200, shift=0.5)
    turned = [rows[i ^ 1] for i in range(len(rows))]
    for found, expected in zip(said(on, turned).found, said(on, rows).found, strict=True):
        assert found == pytest.approx(expected)


def test_a_shadow_of_a_share_is_expected_for_that_share_only():
    on, rows = shadow(np.random.default_rng(8), 2000, shift=0.4, share=0.25)
    answered = [r for r in rows if r.arm == "champion" or arm_of(r.unit, on.name, on.shares) == "challenger"]
    found = said(on, answered)
    assert found.missing == 0 and 400 < found.differences == found.expected < 600
    assert said(on, rows).elsewhere == 2000 - found.expected


def test_rows_of_another_arm_version_or_no_unit_are_left_out():
    on, rows = split(np.random.default_rng(9), 800)
    of_champion = next(r for r in rows if r.arm == "champion")
    strangers = [
        row(900, "challenger", of_champion.unit, {"prediction": 99.0}, 10.0),
        row(901, rows[1].arm, rows[1].unit, {"prediction": 99.0}, 10.0, version="v7"),
        row(902, "champion", "", {"prediction": 99.0}, 10.0),
        row(903, "shadow", "u3", {"prediction": 99.0}, 10.0),
    ]
    found, plain = said(on, rows + strangers), said(on, rows)
    assert found.elsewhere == 2 and any("2 rows of another arm" in note for note in notes(found))
    assert found.arms == plain.arms


def test_truths_that_fit_no_target_are_counted_and_answers_without_a_prediction_block():
    on, rows = split(np.random.default_rng(10), 800)
    odd = [Outcome(**{**vars(r), "truth": "sold"}) if i < 7 else r for i, r in enumerate(rows)]
    assert said(on, odd).unusable == 7
    blank = [
        Outcome(**{**vars(r), "output": {"prediction": None}}) if r.arm == "challenger" and i % 20 == 0 else r
        for i, r in enumerate(rows)
    ]
    found = said(on, blank)
    assert found.verdict == "blocked" and "a prediction in every answer of the challenger" in sentence(found)


def test_losses():
    assert absolute_error({"prediction": 7}, 10.0) == 3.0
    assert (
        absolute_error({"prediction": 7}, "sold") is None and absolute_error({"prediction": 7}, True) is None
    )
    for output in ({"prediction": None}, {}, [1.0]):
        with pytest.raises(NoAnswerError):
            absolute_error(output, 10.0)
    sure = {"prediction": "old", "probabilities": {"old": 0.75, "young": 0.25}}
    assert brier_error(sure, "old", CLASSES) == pytest.approx(0.0625)
    assert brier_error(sure, "young", CLASSES) == pytest.approx(0.5625)
    three = {"a": 0, "b": 1, "c": 2}
    shares = {"prediction": "a", "probabilities": {"a": 0.5, "b": 0.3, "c": 0.2}}
    assert brier_error(shares, "b", three) == pytest.approx(0.25 + 0.49 + 0.04)
    assert brier_error({"prediction": "old"}, "old", CLASSES) == 0.0
    assert brier_error({"prediction": "old"}, "young", CLASSES) == 1.0
    assert brier_error(sure, "ancient", CLASSES) is None
    assert class_of(True, {"0": 0, "1": 1}) == "1" and class_of(1.0, {"0": 0, "1": 1}) == "1"
    with pytest.raises(NoAnswerError):
        brier_error({"prediction": None, "probabilities": {"old": None, "young": None}}, "old", CLASSES)


def test_classes_are_compared_by_their_brier_score():
    rng, on, rows = np.random.default_rng(11), trial("shadow", 1.0), []
    for i in range(600):
        truth = rng.choice(["old", "young"])
        for arm, p in (("champion", 0.6), ("shadow", 0.8)):
            p = p + rng.uniform(-0.1, 0.1)
            output = {"prediction": truth, "probabilities": dict.fromkeys(CLASSES, 1 - p) | {truth: p}}
            rows.append(row(i, arm, f"u{i}", output, truth, prediction_id=f"p{i}"))
    found = said(on, rows, KIND)
    assert found.verdict == "better" and found.loss == "Brier score"
    assert found.effect[0] == pytest.approx(0.04 - 0.16, abs=0.01)


def test_blocks_are_those_of_the_sequence_by_hand():
    """The differences of a small split, recomputed from its rows another way."""
    on, rows = split(np.random.default_rng(12), 1600, share=0.5)
    expected = []
    for start in range(0, 1600, 4):
        block = rows[start : start + 4]
        ours = [r.output["prediction"] - 10.0 for r in block if r.arm == "challenger"]
        theirs = [r.output["prediction"] - 10.0 for r in block if r.arm == "champion"]
        if ours and theirs:
            expected.append(np.mean(ours) - np.mean(theirs))
    again = confidence_sequence(np.array(expected))
    for found, by_hand in zip(said(on, rows).found, again, strict=True):
        assert found == pytest.approx(by_hand)
