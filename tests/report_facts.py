"""Facts of made-up reports, and what must hold for every page whatever its facts."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

from perennial.evidence import (
    CheckFinding,
    CheckReport,
    Comparison,
    DatasetReference,
    Decision,
    Evaluation,
    Metric,
    Reason,
    SearchResult,
    Trial,
)
from perennial.live.report.evaluation import ReportFacts

EVIL = """<script>alert(1)</script>"'&<img src=x onerror=alert(2)>"""
VOID = {"meta", "br", "img", "link", "hr", "input"}


def metrics(*values: tuple[str, float]) -> tuple[Metric, ...]:
    return tuple(Metric(name=n, value=v, low=v - 0.05, high=v + 0.04) for n, v in values)


def classification_details(labels: tuple[str, ...] = ("no", "yes")) -> dict[str, Any]:
    return {
        "confusion": {
            "labels": list(labels),
            "counts": [
                [40 + i + j for j in labels_] for i, labels_ in enumerate([range(len(labels))] * len(labels))
            ],
        },
        "calibration": [{"predicted": p / 10, "observed": p / 11, "rows": 20} for p in range(10)],
        "expected_calibration_error": 0.0345,
        "classification_report": {
            **{label: {"precision": 0.9, "recall": 0.8, "f1": 0.847, "support": 100} for label in labels},
            "macro": {"precision": 0.9, "recall": 0.8, "f1": 0.847, "support": 200},
        },
        "threshold": "yes is answered where its probability is above 0.5",
        **shared_details("accuracy_score"),
    }


def regression_details() -> dict[str, Any]:
    truth = [float(100 + 7 * i) for i in range(300)]
    return {
        "residuals": {"truth": truth, "predicted": [t + (-1) ** i * i / 5 for i, t in enumerate(truth)]},
        "error_by_decile": [
            {
                "low": 10.0 * i,
                "high": 10.0 * i + 10,
                "rows": 30,
                "mean_absolute_percentage_error": 5.0 + i,
                "bias": i - 4,
            }
            for i in range(10)
        ],
        "intervals": [{"level": 0.9, "coverage": 0.8973, "rows": 12512, "median_width": 4410.2}],
        **shared_details("mean_absolute_percentage_error"),
    }


def shared_details(metric: str) -> dict[str, Any]:
    return {
        "segments": [
            {
                "column": c,
                "value": v,
                "rows": 50,
                "metric": metric,
                "value_metric": 0.8,
                "low": 0.7,
                "high": 0.9,
            }
            for c in ("fuel", "brand")
            for v in ("alpha", "beta")
        ],
        "importance": [
            {"feature": f"x{i}", "drop": 0.1 / (i + 1), "low": 0.0, "high": 0.2} for i in range(5)
        ],
    }


def trial(
    i: int, candidate: str = "forest", metric: str = "log_loss_error", score: float | None = None
) -> Trial:
    folds = (0.3 + i / 100, 0.32 + i / 100, 0.28 + i / 100)
    return Trial(
        candidate=candidate,
        parameters={"depth": i + 1, "rate": 0.1 * (i + 1)},
        metric=metric,
        score=sum(folds) / 3 if score is None else score,
        folds=folds,
        seconds=1.5,
    )


def facts(task: str = "classification", **changes: Any) -> ReportFacts:
    regression = task == "regression"
    names = ("mean_absolute_error", "r2_score") if regression else ("accuracy_score", "log_loss_error")
    trials = tuple(
        trial(i, c, names[0] if regression else names[1]) for i, c in enumerate(("forest", "ridge", "forest"))
    )
    comparison = Comparison(
        a="forest", b="naive", loss="log_loss", difference=-0.4, low=-0.5, high=-0.3, level=0.95,
        p_value=1e-9, rows=1234, verdict="better",
    )  # fmt: skip
    whole = {
        "system": "demo",
        "title": "Demo system",
        "version": "v3",
        "created_at": datetime(2025, 3, 2, 14, 5, tzinfo=UTC),
        "target": "price" if regression else "class",
        "unit": "GBP" if regression else "",
        "dataset": DatasetReference(uri="/data/demo", version=12, rows=65020, fingerprint="f1ngerpr1nt"),
        "checks": CheckReport(
            rows_in=65020,
            rows_out=63412,
            quarantined=128,
            duplicates=1480,
            findings=(
                CheckFinding(
                    severity="note", rule="missing", column="tax", rows=5411, message="some are missing"
                ),
                CheckFinding(
                    severity="warning", rule="range", column="year", rows=2, message="a year of 2060"
                ),
            ),
            quarantine_path="/data/rejected.parquet",
        ),
        "search": SearchResult(
            trials=trials, best=trials[0], budget_exhausted=True, skipped=("boosting: no time",)
        ),
        "evaluation": Evaluation(
            system="demo",
            task=task,
            candidate="forest",
            rows=1234,
            metrics=metrics((names[0], 0.912), (names[1], 0.25)),
            baselines={
                "naive": metrics((names[0], 0.5), (names[1], 0.7)),
                "worse": metrics((names[0], 0.99 if regression else 0.4)),
            },
            against_baselines=(comparison,),
            details=regression_details() if regression else classification_details(),
        ),
        "decision": Decision(
            promote=True,
            reasons=(
                Reason(
                    rule="baseline naive", passed=True, sentence="Beats the baseline naive by 0.4 [0.3, 0.5]."
                ),
                Reason(rule="min_rows", passed=True, sentence="1,234 rows are enough."),
                Reason(rule="champion", passed=True, sentence="The champion v2 is level."),
            ),
        ),
        "manifest": {
            "seed": 7,
            "code_digest": "c0de",
            "parameters": {"depth": 3},
            "parity": {"largest": 3.1e-07, "passed": True},
            "environment": {"python": "3.11.9"},
            "candidate": "forest",
        },
        "champion": "v2",
        "against_champion": comparison.model_copy(update={"a": "v3", "b": "v2"}),
    }
    return ReportFacts(**{**whole, **changes})


def with_details(details: dict[str, Any], task: str = "classification", **changes: Any) -> ReportFacts:
    base = facts(task)
    return base.model_copy(
        update={"evaluation": base.evaluation.model_copy(update={"details": details, **changes})}
    )


class Nesting(HTMLParser):
    """Collects tags, text and ids, and fails on a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def parsed(html: str) -> Nesting:
    """The page, after checking what must hold for every page whatever its facts."""
    seen = Nesting()
    seen.feed(html)
    seen.close()
    assert seen.open == []
    ids = [attrs["id"] for _, attrs in seen.tags if "id" in attrs]
    assert len(ids) == len(set(ids)), "an id is used twice"
    assert not {tag for tag, _ in seen.tags} & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    for tag, attrs in seen.tags:
        assert not [
            name for name in attrs if name.startswith("on") or name in ("src", "href", "xlink:href")
        ], tag
        for reference in (attrs.get("aria-labelledby") or "").split():
            assert reference in ids
    assert not re.search(r"url\(|@import|https?:", html)
    for drawing in re.findall(r"<svg.*?</svg>", html, flags=re.S):
        check_drawing(drawing)
    assert len(html.encode()) < 300_000
    return seen


def check_drawing(svg: str) -> ElementTree.Element:
    """The SVG, after checking that it is well-formed, told in words, and finite and inside its frame."""
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.findtext("title") and root.findtext("desc")
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy"):
            if name in element.attrib:
                place = float(element.attrib[name])
                assert math.isfinite(place)
                assert -0.5 <= place <= (width if "x" in name else height) + 0.5
    axes = [e.text for e in root.iter("text") if e.get("class") == "axis"]
    assert axes
    assert all(axes)
    return root


def text_of(html: str) -> str:
    return " ".join(" ".join(parsed(html).words).split())
