"""The challenger judged: against its baselines, the rules, and the champion on rows that neither has seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from perennial.errors import LedgerError
from perennial.evidence import Comparison, Judgement
from perennial.learn.compare import Contender, compare_answers
from perennial.learn.promote import decide
from perennial.learn.tasks import RULES
from perennial.live.ledger import barred, champion
from perennial.live.load import load_predictor
from perennial.live.pack import id_words
from perennial.live.release import champion_bundle, history

if TYPE_CHECKING:
    from perennial.config import Promotion
    from perennial.evidence import Evaluation
    from perennial.live.bundle import Bundle
    from perennial.table import Table


def judge(
    challenger: Bundle,
    evaluation: Evaluation,
    holdout: Table,
    rules: Promotion,
    resamples: int,
    seed: int,
    releases: Path,
    public_key: Path,
) -> Judgement:
    """The decision on a packaged challenger, with all that it rests on.

    Both models answer from their bundles, as they would serve; `resamples` bootstrap draws bound the
    difference.

    Raises:
        BundleError: if a bundle is damaged, or answers its golden rows wrongly.
        LedgerError: if the ledger is broken, or the champion answers other columns than the challenger.
    """
    system = challenger.manifest.system
    entries = history(releases, system)
    serving = champion(entries)
    champion_now = champion_bundle(releases, system, public_key)
    comparison = None
    same = champion_now is not None and answers_alike(champion_now, challenger)
    if champion_now is not None and not same:
        _require_comparable(challenger, champion_now)
        comparison = against_champion(challenger, champion_now, holdout, rules, resamples, seed)
    identities = {e.facts.bundle_identity for e in entries if e.facts.version in barred(entries)}
    is_barred = challenger.manifest.identity in identities
    decision = decide(evaluation, comparison, same, challenger.manifest.parity, rules, is_barred)
    version = serving.facts.version if serving else ""
    return Judgement(
        decision=decision, champion=version, against_champion=comparison, ledger_head=len(entries)
    )


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


def answers_alike(a: Bundle, b: Bundle) -> bool:
    """Whether two bundles hold the same model, contract and answer rule, to the byte."""
    files = ("model.skops", "contract.json", "answer.json")
    return all(a.manifest.files[name]["sha256"] == b.manifest.files[name]["sha256"] for name in files)


def against_champion(
    challenger: Bundle, champion: Bundle, holdout: Table, rules: Promotion, resamples: int, seed: int
) -> Comparison:
    """Both models on the hold-out rows that neither was fitted on.

    The verdict is `not enough data` where fewer than `rules.min_rows` such rows are left.
    """
    fitted = np.union1d(challenger.fitted_rows, champion.fitted_rows)
    unseen = holdout.rows(~np.isin(id_words(holdout.ids), fitted))
    if len(unseen) < rules.min_rows:
        return _not_enough(challenger, champion, len(unseen), 1.0 - rules.alpha)
    return compare_answers(
        _contender(challenger, unseen),
        _contender(champion, unseen),
        unseen.y,
        loss=RULES[challenger.rule.task].loss,
        seed=seed,
        level=1.0 - rules.alpha,
        resamples=resamples,
        unit=challenger.rule.unit,
    )


def _contender(bundle: Bundle, rows: Table) -> Contender:
    features = {c.name: rows.frame[c.name].tolist() for c in rows.contract.features}
    answered = load_predictor(bundle).answer_columns(features)
    return Contender(bundle.manifest.version, answered.answers, bundle.rule.classes)


def _not_enough(challenger: Bundle, champion: Bundle, rows: int, level: float) -> Comparison:
    return Comparison(
        a=challenger.manifest.version,
        b=champion.manifest.version,
        loss=RULES[challenger.rule.task].loss,
        difference=0.0,
        low=0.0,
        high=0.0,
        level=level,
        p_value=1.0,
        rows=rows,
        verdict="not enough data",
        loss_b=0.0,
    )
