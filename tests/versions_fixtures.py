"""Versions of a small system for the tests of leaderboard, comparison and trigger, made by the real code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from perennial import config
from perennial.evidence import BundleReference, Comparison, Decision, Evaluation, Metric, Reason
from perennial.live import release
from perennial.live.build import build_bundle
from perennial.live.bundle import open_bundle
from perennial.live.sign import SigningKey
from perennial.live.versions import Versions, read_versions
from tests.releases import NOW, YES, parts

QUICK = config.Bundle(onnx="off", golden_rows=8)
NO = Decision(
    promote=False,
    reasons=(
        Reason(rule="size", passed=True, sentence="The model is small."),
        Reason(rule="champion", passed=False, sentence="It is worse than the champion."),
    ),
)


@dataclass
class Shelf:
    """The releases folder of one system, and its key."""

    releases: Path
    key: SigningKey
    kind: str = "prices"

    def build(
        self,
        strength: float,
        *,
        dataset: int = 1,
        metrics: Mapping[str, float] | None = None,
        settings: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> BundleReference:
        """A bundle trained on a dataset version, whose content is that of its number."""
        made = parts(self.kind, strength)
        reference = made.dataset.model_copy(update={"version": dataset, "fingerprint": f"{dataset:064d}"})
        found = replace(
            made,
            dataset=reference,
            evaluation=evaluated(made.evaluation, metrics or {"mean_absolute_error": strength}),
            **{"settings": settings or {"seed": 7}, "options": QUICK, **changes},
        )
        folder = self.releases / self.kind / "bundles"
        folder.mkdir(parents=True, exist_ok=True)
        return build_bundle(found, folder, self.key, NOW + timedelta(minutes=self.count()))

    def count(self) -> int:
        """How many bundles there are."""
        folder = self.releases / self.kind / "bundles"
        return len([p for p in folder.iterdir() if p.name.startswith("v")])

    def promote(
        self, bundle: BundleReference, hours: float, judgement: Mapping[str, Any] | None = None
    ) -> None:
        """The bundle serves from `hours` after the start on."""
        head = len(release.history(self.releases, self.kind))
        moment, proof = NOW + timedelta(hours=hours), {"judgement": judgement} if judgement else {}
        key = self.key.public_path
        release.promote(self.releases, self.kind, bundle, YES, head, key, moment, "tester@host", proof)

    def keep_out(self, bundle: BundleReference, hours: float, against: Comparison | None = None) -> None:
        """The ledger says why the bundle was not released, and how it did against the champion."""
        opened = open_bundle(bundle.path, self.key.public_path)
        proof = {"judgement": judged(NO, against)}
        release.keep(self.releases, opened, NO, NOW + timedelta(hours=hours), "tester@host", proof)

    def versions(self) -> Versions:
        """All versions, as the commands read them."""
        return read_versions(self.releases, self.kind, self.key.public_path)


def judged(decision: Decision, against: Comparison | None) -> dict[str, Any]:
    """A judgement as the ledger holds it."""
    return {
        "decision": decision.model_dump(mode="json"),
        "champion": against.b if against else "",
        "against_champion": against.model_dump(mode="json") if against else None,
        "ledger_head": 0,
        "measured": {"median_ms": 0.25, "p99_ms": 0.5, "size_mb": 0.1},
    }


def against(challenger: str, champion: str, difference: float) -> Comparison:
    """A paired comparison of two versions."""
    return Comparison(
        a=challenger,
        b=champion,
        loss="absolute_error",
        difference=difference,
        low=difference - 1,
        high=difference + 1,
        level=0.95,
        p_value=0.01,
        rows=100,
        verdict="worse" if difference > 0 else "better",
        unit="GBP",
        loss_b=50.0,
    )


def evaluated(evaluation: Evaluation, metrics: Mapping[str, float]) -> Evaluation:
    """The evaluation with these metrics, and baselines with values twice and three times as large."""

    def of(factor: float) -> tuple[Metric, ...]:
        return tuple(
            Metric(name=name, value=factor * value, low=factor * value - 0.1, high=factor * value + 0.1)
            for name, value in metrics.items()
        )

    details = {"intervals": [{"level": 0.9, "coverage": 0.88, "low": 0.8, "high": 0.95, "median_width": 2.0}]}
    changed = {"metrics": of(1), "baselines": {"twice": of(2), "thrice": of(3)}, "details": details}
    return evaluation.model_copy(update=changed)
