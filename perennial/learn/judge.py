"""The challenger judged: against its baselines, the rules, and the champion on rows that neither has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perennial.errors import LedgerError
from perennial.evidence import Comparison, Judgement
from perennial.learn.baselines import fit_baseline
from perennial.learn.clusters import origins_of
from perennial.learn.compare import Contender, compare_answers
from perennial.learn.measured import compare_segments, measure_bundle
from perennial.learn.promote import decide
from perennial.learn.tasks import RULES
from perennial.live.bundle import answers_alike
from perennial.live.ledger import barred, champion
from perennial.live.load import load_predictor
from perennial.live.release import champion_bundle, history
from perennial.live.row_ids import id_words

if TYPE_CHECKING:
    from perennial.config import Promotion
    from perennial.evidence import Evaluation
    from perennial.live.answer import AnswerRule
    from perennial.live.bundle import Bundle
    from perennial.live.predict import Predictor
    from perennial.table import Table


def judge(
    challenger: Bundle,
    evaluation: Evaluation,
    train: Table,
    holdout: Table,
    rules: Promotion,
    segments: tuple[str, ...],
    resamples: int,
    seed: int,
    releases: Path,
    public_key: Path,
    clock: Callable[[], float],
) -> Judgement:
    """The decision on a packaged challenger, with all that it rests on.

    Both models answer from their bundles, as they would serve.

    Args:
        challenger: the bundle on trial.
        evaluation: its model on the hold-out rows.
        train: the rows that it was fitted on, to which a baseline is fitted where nothing serves.
        holdout: the rows that it was not fitted on.
        rules: the promotion section of the config.
        segments: the feature columns by which losses are compared.
        resamples: bootstrap draws that bound a difference.
        seed: draws them.
        releases: the folder of bundles and ledgers.
        public_key: who must have signed them.
        clock: tells seconds, as `time.perf_counter` does.

    Raises:
        BundleError: if a bundle is damaged, or answers its golden rows wrongly.
        LedgerError: if the ledger is broken, or the champion answers other columns than the challenger.
        ViolationsError: if a bound of the rules names an unknown or unsuitable metric.
    """
    system = challenger.manifest.system
    entries = history(releases, system)
    serving = champion(entries)
    champion_now = champion_bundle(releases, system, public_key)
    same = champion_now is not None and answers_alike(champion_now, challenger)
    predictor = load_predictor(challenger)
    own = _contender(predictor, holdout)
    comparison, compared, loss = None, None, RULES[challenger.rule.task].loss
    if champion_now is not None and not same:
        _require_comparable(challenger, champion_now)
        unseen = unseen_rows(challenger, champion_now, holdout)
        versions = challenger.manifest.version, champion_now.manifest.version
        if unseen.sum() < rules.min_rows:
            comparison = _not_enough(*versions, loss, int(unseen.sum()), 1.0 - rules.alpha)
        else:
            rows, pair = holdout.rows(unseen), replace(own, answers=own.answers.rows(unseen))
            other = _contender(load_predictor(champion_now), rows)
            comparison = against_champion(pair, other, rows, challenger.rule, rules, resamples, seed)
            compared = compare_segments(rows, pair, other, segments, loss, rules)
    elif champion_now is None and (name := _best_baseline(evaluation)):
        baseline = fit_baseline(name, train).contend(holdout)
        compared = compare_segments(holdout, own, baseline, segments, loss, rules)
    measured = measure_bundle(predictor, holdout, own.answers, compared, rules, resamples, seed, clock)
    identities = {e.facts.bundle_identity for e in entries if e.facts.version in barred(entries)}
    is_barred = challenger.manifest.identity in identities
    parity = challenger.manifest.parity
    return Judgement(
        decision=decide(evaluation, comparison, same, parity, measured, rules, is_barred),
        champion=serving.facts.version if serving else "",
        against_champion=comparison,
        ledger_head=len(entries),
        measured=measured.model_dump(mode="json"),
    )


def _best_baseline(evaluation: Evaluation) -> str:
    """The baseline with the smallest loss on the hold-out rows; "" where none was compared."""
    compared = [c for c in evaluation.against_baselines if c.loss_b is not None]
    return min(compared, key=lambda c: c.loss_b or 0.0).b if compared else ""


def _require_comparable(challenger: Bundle, champion: Bundle) -> None:
    def asks(bundle: Bundle) -> set[str]:
        return {c.name for c in bundle.contract.features} | {bundle.rule.target}

    if other := sorted(asks(champion) ^ asks(challenger)):
        version, system = challenger.manifest.version, challenger.manifest.system
        plugin = system.partition("-")[0]
        raise LedgerError(
            f"champion {champion.manifest.version} of {system}: expected the columns that {version} answers, found "
            f"others ({', '.join(other)}), so that the two cannot be compared; give this source a name of its "
            f"own (system: {plugin}-NAME), or release {version} by hand with `run.py promote`"
        )


def unseen_rows(challenger: Bundle, champion: Bundle, holdout: Table) -> npt.NDArray[np.bool_]:
    """Which hold-out rows neither was fitted on, shape (n_rows,)."""
    fitted = np.union1d(challenger.fitted_rows, champion.fitted_rows)
    return ~np.isin(id_words(holdout.ids), fitted)


def against_champion(
    challenger: Contender,
    champion: Contender,
    unseen: Table,
    rule: AnswerRule,
    rules: Promotion,
    resamples: int,
    seed: int,
) -> Comparison:
    """Both models on the rows that neither was fitted on."""
    return compare_answers(
        challenger,
        champion,
        unseen.y,
        loss=RULES[rule.task].loss,
        seed=seed,
        level=1.0 - rules.alpha,
        resamples=resamples,
        unit=rule.unit,
        origins=origins_of(unseen),
    )


def _contender(predictor: Predictor, rows: Table) -> Contender:
    features = {c.name: rows.frame[c.name].tolist() for c in rows.contract.features}
    bundle = predictor.bundle
    answers = predictor.answer_columns(features).answers
    return Contender(bundle.manifest.version, answers, bundle.rule.classes)


def _not_enough(a: str, b: str, loss: str, rows: int, level: float) -> Comparison:
    """A comparison that did not take place, for want of rows that neither model was fitted on."""
    return Comparison(
        a=a,
        b=b,
        loss=loss,
        difference=0.0,
        low=0.0,
        high=0.0,
        level=level,
        p_value=1.0,
        rows=rows,
        verdict="not enough data",
        loss_b=0.0,
    )
