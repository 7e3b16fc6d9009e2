"""What was measured and decided: plain values that pass between rooms, reports and the ledger as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["better", "worse", "inconclusive", "not enough data"]


class Fact(BaseModel):
    """A value that never changes and can be written as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Metric(Fact):
    """A metric on unseen rows, with a bootstrap interval.

    `name` ends in `_score` (higher is better) or `_error` (lower is better); `unit` is the unit of `value`
    ("1" for a share, "%" for percent). `low` and `high` bound the interval of the given `level`.
    """

    name: str
    value: float
    low: float
    high: float
    level: float = 0.95
    unit: str = "1"

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is a better one, read off the name."""
        return self.name.endswith("_score")

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


class Trial(Fact):
    """One candidate with one set of parameters, cross-validated inside the training rows.

    `score` is the mean of the task's primary metric over `folds`; `seconds` the time of all its fits. `share` is
    the share of a fold's training rows that they used.
    """

    candidate: str
    parameters: dict[str, Any]
    metric: str
    score: float
    folds: tuple[float, ...]
    seconds: float
    share: float = 1.0


class SearchResult(Fact):
    """All trials of a search in the order they ran, and the one that was chosen.

    Only `trials` were scored on every fold and with all rows, so that their scores can be compared. Those in
    `early` were given up on fewer rows or folds.
    """

    trials: tuple[Trial, ...]
    best: Trial
    budget_exhausted: bool = Field(description="True when the time budget ended the search early")
    skipped: tuple[str, ...] = Field(default=(), description="a sentence per candidate that could not run")
    early: tuple[Trial, ...] = Field(default=(), description="what a search gave up before it was finished")
    kind: str = Field(default="random", description="how it was searched: random, halving or optuna")


class Comparison(Fact):
    """Model `a` against model `b`, paired on the same rows.

    `difference` is the mean of loss(a) - loss(b) in `unit`, so that below zero means that `a` is better;
    `low` and `high` bound it at `level`; `p_value` is two-sided. `loss_b` is the mean loss of `b` on these rows,
    against which a difference can be read as a share.
    """

    a: str
    b: str
    loss: str
    difference: float
    low: float
    high: float
    level: float
    p_value: float
    rows: int
    verdict: Verdict
    unit: str = "1"
    loss_b: float | None = None


class Evaluation(Fact):
    """How good a fitted model is on rows that nothing was fitted or tuned on."""

    system: str
    task: str
    candidate: str
    rows: int
    metrics: tuple[Metric, ...]
    baselines: dict[str, tuple[Metric, ...]]
    against_baselines: tuple[Comparison, ...]
    details: dict[str, Any] = Field(
        default_factory=dict,
        description="what the report draws: confusion matrix, calibration, residuals, segments, importance",
    )

    def metric(self, name: str) -> Metric:
        """The metric called `name`; raises KeyError where it was not measured."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)


class Walker(Fact):
    """A candidate on its way through a backtest.

    `seconds` is the time of all its fits; `against_default` compares it with the first candidate, with a p-value
    adjusted for the number of candidates (Holm 1979), None for the first itself.
    """

    evaluation: Evaluation
    parameters: dict[str, Any]
    seconds: float
    against_default: Comparison | None = None


class BacktestResult(Fact):
    """What candidates answered on their way through the past, each fitted to what was known then.

    `since` and `until` are the first and the last moment at which rows were predicted, in ISO 8601; `origins` counts
    these moments, `refits` the fits of each candidate;
    `rules` is the config's section `backtest`.
    """

    system: str
    dataset: DatasetReference
    since: str
    until: str
    origins: int
    refits: int
    rules: dict[str, Any]
    walkers: tuple[Walker, ...]
    skipped: tuple[str, ...] = Field(default=(), description="a sentence per candidate that could not run")


class Reason(Fact):
    """What one promotion rule says, with its numbers."""

    rule: str
    passed: bool
    sentence: str


class Decision(Fact):
    """Whether to promote, with what every rule says about it."""

    promote: bool
    reasons: tuple[Reason, ...]

    @property
    def passed(self) -> tuple[str, ...]:
        """The names of the rules that passed."""
        return tuple(r.rule for r in self.reasons if r.passed)

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the rules that failed."""
        return tuple(r.rule for r in self.reasons if not r.passed)

    def sentences(self, passed: bool) -> tuple[str, ...]:
        """What the rules say that passed, or those that failed."""
        return tuple(r.sentence for r in self.reasons if r.passed is passed)


class Judgement(Fact):
    """A decision with what it rests on.

    `champion` is the version that served when the evidence was gathered ("" for none), `ledger_head` the
    number of the ledger's last entry then (0 for an empty ledger): a promotion that finds a newer promotion or
    rollback has lost. `measured` holds what `perennial.learn.measured` found, as JSON values.
    """

    decision: Decision
    champion: str
    against_champion: Comparison | None
    ledger_head: int
    measured: dict[str, Any] = Field(default_factory=dict)


class Outcome(Fact):
    """What became of a challenger: the version that serves now, and a sentence for people."""

    promoted: bool
    version: str
    champion: str
    sentence: str


class CheckFinding(Fact):
    """Something that a check found. `severity`: note (reported), warning (loud), block (no training)."""

    severity: Literal["note", "warning", "block"]
    rule: str
    column: str
    rows: int
    message: str


class CheckReport(Fact):
    """What the checks found in a dataset version; counts in rows."""

    rows_in: int
    rows_out: int
    quarantined: int
    duplicates: int
    findings: tuple[CheckFinding, ...]
    quarantine_path: str = ""

    @property
    def blocking(self) -> tuple[CheckFinding, ...]:
        """The findings that forbid training."""
        return tuple(f for f in self.findings if f.severity == "block")


class DatasetReference(Fact):
    """A dataset version: where it is, which one, how large, and the digest of its content."""

    uri: str
    version: int
    rows: int
    fingerprint: str


class FeedFacts(Fact):
    """What one collection of one feed brought, before anything of it entered the dataset.

    Counts are in rows unless their name says otherwise. `hits` counts the rows in which a field's selector
    found something, `filled` those in which a value was read, `unreadable` and `out_of_range` the values that
    were found and not believed. `layout` is a digest of the structure of the answers. A `partial` collection
    asked for new or revised records alone, so that its number of rows says nothing. `definition` is a digest
    of the feed's config ("" for unknown): facts under different ones are not compared.
    """

    feed: str
    requests: int
    unchanged: int = Field(description="requests answered with 304: nothing new")
    failed: dict[str, int] = Field(default_factory=dict, description="outcome -> requests that ended with it")
    sent_bytes: int = 0
    saved_bytes: int = 0
    rows: int
    rejected: int = 0
    repeats: int = 0
    hits: dict[str, int] = Field(default_factory=dict)
    filled: dict[str, int] = Field(default_factory=dict)
    unreadable: dict[str, int] = Field(default_factory=dict)
    out_of_range: dict[str, int] = Field(default_factory=dict)
    layout: str = ""
    partial: bool = False
    definition: str = ""


class Breach(Fact):
    """A promise of a feed's `expect` that a collection did not keep.

    `field` and `selector` are "" where the promise is about the feed as a whole.
    """

    feed: str
    rule: str
    field: str = ""
    selector: str = ""
    sentence: str


class Collection(Fact):
    """One finished collection: when, what came, what was breached, and the dataset version after it.

    `dataset` is None where nothing has ever been committed; `added` and `revised` count records that the
    dataset version gained, `unfinished` rows that were left to a later collection. Times are ISO 8601 in UTC.
    """

    system: str
    number: int
    started_at: str
    finished_at: str
    feeds: tuple[FeedFacts, ...]
    breaches: tuple[Breach, ...] = ()
    added: int = 0
    revised: int = 0
    unfinished: int = 0
    dataset: DatasetReference | None = None
    quarantine_path: str = ""

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not self.breaches


class BundleReference(Fact):
    """A bundle on disk: its folder, name, version and the digest of its manifest."""

    path: str
    system: str
    version: str
    sequence: int
    digest: str
