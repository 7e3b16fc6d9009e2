"""Promotion: every rule speaks, and every single one can stop it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.config import Promotion, TooGood
from perennial.errors import InputError
from perennial.evidence import Comparison, Evaluation, Metric
from perennial.learn.measured import Calibration, Coverage, Measured, SegmentLoss, Segments
from perennial.learn.promote import check_promotion, decide
from perennial.learn.tasks import RULES

PARITY = {
    "passed": True,
    "required": True,
    "reason": "",
    "largest": 2e-7,
    "p999": 1e-8,
    "rows": 500,
    "largest_near": 3e-7,
    "p999_near": 1e-8,
    "rows_near": 600,
    "allowed_largest": 1e-3,
    "allowed_p999": 1e-4,
}


def comparison(b, difference=-0.2, p_value=0.001, verdict="better", **rest):
    values = {"a": "forest", "b": b, "loss": "log_loss", "low": difference - 0.1, "high": difference + 0.1}
    rows = {"level": 0.95, "rows": 200, "loss_b": 0.7}
    return Comparison(
        **(values | rows | {"difference": difference, "p_value": p_value, "verdict": verdict} | rest)
    )


def evaluation(metrics=None, **rest):
    if metrics is None:
        metrics = [Metric(name=n, value=0.9, low=0.8, high=0.95) for n in RULES["classification"].metrics]
    values = {
        "system": "toy",
        "task": "classification",
        "candidate": "forest",
        "rows": 200,
        "metrics": tuple(metrics),
        "baselines": {"prior": (), "majority": ()},
        "against_baselines": (comparison("prior"), comparison("majority")),
    }
    return Evaluation(**(values | rest))


def without(name):
    return [m for m in evaluation().metrics if m.name != name]


def with_value(name, value):
    return [m.model_copy(update={"value": value}) if m.name == name else m for m in evaluation().metrics]


def segment(value="north", **rest):
    line = {"rows": 300, "loss": 1.0, "reference": 1.0, "margin": 0.1, "p_value": 0.6}
    return SegmentLoss(column="region", value=value, **(line | rest))


def measured(**rest):
    values = {
        "coverage": (Coverage(level=0.9, share=0.87, low=0.86, high=0.88, rows=5000),),
        "calibration": Calibration(error=0.121, noise=0.057, rows=200),
        "segments": Segments(against="v1", compared=(segment(), segment("south")), small=1),
        "median_ms": 0.3,
        "p99_ms": 2.0,
        "size_mb": 0.4,
    }
    return Measured(**(values | rest))


def doubted(**rest):
    values = {"metric": "log_loss_error", "baseline": "prior", "bound": 0.5}
    prior = {"prior": (Metric(name="log_loss_error", value=2.0, low=1.9, high=2.1),), "majority": ()}
    return {
        "evaluation": evaluation(baselines=prior),
        "rules": Promotion(too_good=(TooGood(**(values | rest)),)),
    }


EQUAL = comparison("v1", 0.001, 0.8, "inconclusive")
GOOD = {
    "evaluation": evaluation(),
    "against_champion": EQUAL,
    "champion_same": False,
    "parity": PARITY,
    "measured": measured(),
    "rules": Promotion(floors={"accuracy_score": 0.85}, ceilings={"log_loss_error": 0.95}),
}

BREAKERS = {
    "metrics": {"evaluation": evaluation(without("f1_score"))},
    "metrics ": {"evaluation": evaluation(with_value("recall_score", float("nan")))},
    "metrics  ": {"evaluation": evaluation(with_value("recall_score", float("inf")))},
    "min_rows": {"evaluation": evaluation(rows=99)},
    "baseline prior": {
        "evaluation": evaluation(
            against_baselines=(comparison("prior", -0.01, 0.3, "inconclusive"), comparison("majority"))
        )
    },
    "baseline majority": {
        "evaluation": evaluation(
            against_baselines=(comparison("prior"), comparison("majority", p_value=0.06))
        )
    },
    "baselines": {"evaluation": evaluation(against_baselines=(comparison("prior"),))},
    "baselines ": {"evaluation": evaluation(against_baselines=(), baselines={})},
    "floor accuracy_score": {"rules": Promotion(floors={"accuracy_score": 0.91})},
    "floor roc_auc_score": {
        "evaluation": evaluation(without("roc_auc_score")),
        "rules": Promotion(floors={"roc_auc_score": 0.1}),
    },
    "ceiling log_loss_error": {"rules": Promotion(ceilings={"log_loss_error": 0.8})},
    "champion": {"against_champion": comparison("v1", 0.1, 0.01, "worse")},
    "champion ": {"against_champion": comparison("v1", 0.0, 1.0, "not enough data")},
    "champion  ": {"against_champion": comparison("v1", 0.015, 0.4, "inconclusive")},
    "champion   ": {"against_champion": EQUAL, "rules": Promotion(champion="better")},
    "champion    ": {"against_champion": comparison("v1", 0.0, 0.5, "inconclusive", loss_b=None)},
    "coverage 0.9": {
        "measured": measured(coverage=(Coverage(level=0.9, share=0.86, low=0.84, high=0.879, rows=5000),))
    },
    "coverage 0.8": {
        "measured": measured(coverage=(Coverage(level=0.8, share=0.9, low=0.821, high=0.95, rows=200),))
    },
    "calibration": {"measured": measured(calibration=Calibration(error=0.158, noise=0.057, rows=200))},
    "segments": {
        "measured": measured(
            segments=Segments(against="v1", compared=(segment(), segment("south", p_value=0.02)), small=0)
        )
    },
    "segments ": {
        "measured": measured(
            segments=Segments(
                against="v1", compared=(segment(loss=float("nan"), p_value=float("nan")),), small=0
            )
        )
    },
    "latency": {"measured": measured(median_ms=51.0)},
    "latency ": {"measured": measured(p99_ms=251.0)},
    "size": {"measured": measured(size_mb=501.0)},
    "too_good log_loss_error prior": doubted(),
    "too_good log_loss_error median": doubted(baseline="median"),
    "too_good accuracy_score": doubted(metric="accuracy_score", baseline="", bound=0.89),
    "parity": {"parity": {**PARITY, "passed": False}},
    "identical": {"champion_same": True},
    "barred": {"barred": True},
}


def test_a_challenger_that_passes_every_rule_is_promoted_and_every_rule_says_so():
    decision = decide(**GOOD)
    assert decision.promote and not decision.failed
    assert decision.passed == (
        "metrics",
        "min_rows",
        "baseline prior",
        "baseline majority",
        "floor accuracy_score",
        "ceiling log_loss_error",
        "champion",
        "coverage 0.9",
        "calibration",
        "segments",
        "latency",
        "size",
        "parity",
        "identical",
        "barred",
    )
    assert len(decision.reasons) == len(decision.passed)
    assert all(re.fullmatch(r"[A-Z a-z].*\.", r.sentence) for r in decision.reasons)


@pytest.mark.parametrize("rule", sorted(BREAKERS))
def test_failing_any_single_rule_stops_the_promotion_and_names_it_alone(rule):
    decision = decide(**(GOOD | BREAKERS[rule]))
    assert not decision.promote
    assert decision.failed == (rule.strip(),)
    assert len(decision.reasons) == len(decision.passed) + 1


@given(st.sets(st.sampled_from(sorted(set(BREAKERS) - {"baselines ", "floor roc_auc_score"})), min_size=1))
def test_no_mixture_of_failures_is_ever_promoted(broken):
    changes = {}
    for rule in sorted(broken):
        changes |= BREAKERS[rule]
    assert not decide(**(GOOD | changes)).promote


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["difference", "p_value", "loss_b"])
def test_a_comparison_that_is_no_number_promotes_nothing(field, value):
    for update in ("champion", "baseline"):
        broken = comparison("prior").model_copy(update={field: value})
        if update == "baseline":
            change = {"evaluation": evaluation(against_baselines=(broken, comparison("majority")))}
        else:
            change = {"against_champion": broken}
        assert not decide(**(GOOD | change)).promote


def test_the_first_model_has_no_champion_and_says_so():
    decision = decide(**(GOOD | {"against_champion": None}))
    assert decision.promote and "There is no champion yet to compare with." in decision.sentences(passed=True)


def test_not_worse_means_within_the_margin_of_the_champions_loss():
    for difference, margin, promoted in ((0.013, 0.02, True), (0.015, 0.02, False), (0.015, 0.03, True)):
        behind = comparison("v1", difference, 0.4, "inconclusive")
        rules = Promotion(champion_margin=margin)
        decision = decide(**(GOOD | {"against_champion": behind, "rules": rules}))
        assert decision.promote is promoted
    slightly = comparison("v1", 0.01, 0.001, "worse", low=0.008, high=0.012)
    assert decide(**(GOOD | {"against_champion": slightly})).promote
    unsure = slightly.model_copy(update={"high": 0.02})
    assert decide(**(GOOD | {"against_champion": unsure})).failed == ("champion",)
    better = decide(**(GOOD | {"against_champion": comparison("v1"), "rules": Promotion(champion="better")}))
    assert better.promote


def test_p_values_of_several_baselines_are_adjusted():
    weak = {"against_baselines": (comparison("prior", p_value=0.03), comparison("majority", p_value=0.04))}
    decision = decide(**(GOOD | {"evaluation": evaluation(**weak)}))
    assert decision.failed == ("baseline prior", "baseline majority")
    alone = {"against_baselines": (comparison("prior", p_value=0.03),), "baselines": {"prior": ()}}
    assert decide(**(GOOD | {"evaluation": evaluation(**alone)})).promote


def test_an_export_that_fails_its_gate_blocks_only_where_it_is_required():
    failed = {**PARITY, "passed": False, "required": False, "largest": None}
    optional = decide(**(GOOD | {"parity": failed}))
    assert optional.promote
    assert any(
        "does not pass its gate" in r and "at most not finite" in r for r in optional.sentences(passed=True)
    )
    for absent in (None, {}):
        assert decide(**(GOOD | {"parity": absent})).promote


def test_metrics_that_honest_targets_lack_are_not_needed():
    names = [n for n in RULES["regression"].metrics if n not in RULES["regression"].optional]
    metrics = tuple(Metric(name=n, value=0.9, low=0.8, high=0.95) for n in names)
    decision = decide(**(GOOD | {"evaluation": evaluation(metrics, task="regression"), "rules": Promotion()}))
    assert decision.promote


def test_the_numbers_stand_in_the_sentences():
    decision = decide(**(GOOD | {"rules": Promotion(floors={"accuracy_score": 0.93}, min_rows=150)}))
    text = " ".join(r.sentence for r in decision.reasons)
    assert "accuracy_score is 0.9 [0.8, 0.95], beyond its floor of 0.93." in text
    assert "rests on 200 unseen rows, 150 are needed" in text
    assert (
        "log_loss differs by -0.2 [-0.3, -0.1] on 200 rows (better), adjusted p 0.002 at alpha 0.05" in text
    )


def test_unknown_and_unsuitable_metrics_in_bounds_are_all_told():
    rules = Promotion(
        floors={"acuracy_score": 0.9, "log_loss_error": 0.1}, ceilings={"r2_score": 0.1, "log_loss_eror": 1}
    )
    found = [str(v) for v in check_promotion(rules, "classification")]
    assert len(found) == 4
    assert found[0].endswith("found 'acuracy_score'; did you mean 'accuracy_score'?")
    assert found[3].endswith("found 'log_loss_eror'; did you mean 'log_loss_error'?")
    with pytest.raises(InputError, match="promotion: 4 problems found"):
        decide(**(GOOD | {"rules": rules}))
    assert check_promotion(Promotion(floors={"accuracy_score": float("nan")}), "classification")


def test_a_bound_that_is_kept_or_explained_stops_nothing():
    for doubt in (
        doubted(bound=0.44),
        doubted(explained="the target is computed from two features; see the test of that name"),
        doubted(metric="accuracy_score", baseline="", bound=0.9),
    ):
        assert decide(**(GOOD | doubt)).promote
    unsure = decide(**(GOOD | doubted()))
    assert (
        "log_loss_error is 0.45 times that of prior, too good to be true (bound 0.5)"
        in unsure.sentences(False)[0]
    )
    named = evaluation(
        details={"importance": [{"feature": "copy", "drop": 1.0}]},
        baselines=doubted()["evaluation"].baselines,
    )
    assert "Look at copy first" in decide(**(GOOD | doubted() | {"evaluation": named})).sentences(False)[0]


def test_a_segment_counts_only_after_correction_for_all_of_them():
    lines = tuple(segment(f"s{n}", p_value=0.02 if n == 0 else 0.7) for n in range(3))
    several = measured(segments=Segments(against="v1", compared=lines, small=0))
    assert decide(**(GOOD | {"measured": several})).promote
    clear = (segment("s0", p_value=0.001, loss=2.0), *lines[1:])
    refused = decide(
        **(
            GOOD
            | {
                "measured": several.model_copy(
                    update={"segments": Segments(against="v1", compared=clear, small=0)}
                )
            }
        )
    )
    assert refused.sentences(False) == (
        "1 of 3 segments are worse than v1 by more than 10%: region s0 with 2 in place of 1 on 300 rows, adjusted "
        "p 0.003.",
    )
    for none in (None, Segments(against="v1", compared=(), small=4)):
        assert decide(**(GOOD | {"measured": measured(segments=none)})).promote


def test_a_bound_on_an_unknown_metric_is_told():
    rules = Promotion(too_good=(TooGood(metric="log_loss_eror", bound=1),))
    (found,) = check_promotion(rules, "classification")
    assert str(found).startswith("promotion.too_good.0.metric") and "'log_loss_error'" in str(found)
