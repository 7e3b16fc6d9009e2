"""The typed form of every YAML section, in pipeline order.

Every field carries a description and a unit ("" for none, "1" for a plain number or share). Loading, line
numbers and `--set` live in `perennial.config_file`.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from perennial.config_backtest import Backtest
from perennial.config_features import Features
from perennial.config_journal import Journal
from perennial.config_promotion import Promotion as Promotion
from perennial.config_promotion import TooGood as TooGood
from perennial.config_score import Score
from perennial.config_search import RandomSearch, Search
from perennial.config_section import Part, SecretReference, Section, Share, option
from perennial.config_web import WebSource
from perennial.cron import read_cron


class GeneratorSource(Section):
    """Records that are generated: a classification problem of known difficulty."""

    kind: Literal["generator"] = option(about="tag of this variant")
    rows: int = option(1000, about="how many samples to make", unit="rows", ge=20)
    columns: int = option(20, about="how many features a sample has", unit="columns", ge=2)
    informative: int = option(10, about="how many features carry the class", unit="columns", ge=1)
    redundant: int = option(
        4, about="how many features are mixtures of informative ones", unit="columns", ge=0
    )
    classes: int = option(2, about="how many classes there are", unit="classes", ge=2)
    separation: float = option(1.5, about="distance between the classes' clusters", unit="1", gt=0)
    label_noise: Share = option(0.02, about="share of samples whose class is drawn at random", unit="1")


class FileSource(Section):
    """Records from a file that somebody else wrote."""

    kind: Literal["file"] = option(about="tag of this variant")
    path: str = option(about="CSV, Parquet or JSON lines, optionally compressed (.gz)")
    columns: dict[str, str] = option({}, about="source column -> contract column, where the names differ")
    as_of: date | None = option(
        None, about="the day on which the records were collected; none means that of the file's last change"
    )


Source = Annotated[GeneratorSource | FileSource | WebSource, Field(discriminator="kind")]


class Checks(Section):
    """When data is bad enough to be loud, and when it is too bad to train on."""

    min_rows: int = option(200, about="fewest usable rows that training starts with", unit="rows", ge=1)
    max_quarantined: Share = option(0.05, about="largest share of rows that may be rejected", unit="1")
    max_missing: Share = option(0.5, about="largest share of missing values in a feature", unit="1")
    max_repeats: Share = option(0.2, about="largest share of rows that repeat another exactly", unit="1")
    constant: Literal["warning", "block"] = option("block", about="what a feature with one single value does")
    new_columns: Literal["note", "warning", "block"] = option(
        "warning", about="what a column does that the contract does not know"
    )
    leaks: Literal["warning", "block"] = option(
        "block", about="what a column does that knows what could not be known when its row was predicted"
    )
    allowed_leaks: tuple[str, ...] = option(
        (), about="columns that look like leaks and are none, because somebody has found out why"
    )


class Profile(Section):
    """The exploratory report on every dataset version."""

    evidently: bool = option(True, about="whether Evidently's summary is part of it; it takes some seconds")


class StratifiedSplit(Section):
    """Hold-out with the same mix of classes as the training rows."""

    kind: Literal["stratified"] = option(about="tag of this variant")
    holdout: Part = option(0.2, about="share of the rows that nothing is fitted or tuned on", unit="1")


class GroupedSplit(Section):
    """Hold-out drawn by row id, so that exact duplicates are on one side only."""

    kind: Literal["grouped"] = option(about="tag of this variant")
    holdout: Part = option(0.2, about="share of the rows that nothing is fitted or tuned on", unit="1")


class TimeSplit(Section):
    """Hold-out of the latest rows, with a gap before it. A row is placed by when it was predicted."""

    kind: Literal["time"] = option(about="tag of this variant")
    holdout: Part = option(0.2, about="share of the rows that nothing is fitted or tuned on", unit="1")
    since: datetime | None = option(
        None,
        about="from when on rows are held out (UTC), by when they were predicted; none means by the share",
    )
    gap_hours: float = option(
        0.0,
        about="least time between the truth of a training row and the first held-out prediction",
        unit="h",
        ge=0,
    )
    first: Part = option(
        0.5, about="share of the training rows before the first fold that validates", unit="1"
    )
    window_days: float | None = option(
        None,
        about="how far back a fold trains, by when rows were predicted; none means everything before",
        unit="days",
        gt=0,
    )


Split = Annotated[StratifiedSplit | GroupedSplit | TimeSplit, Field(discriminator="kind")]


class Candidate(Section):
    """One kind of model on trial. The first candidate of the list is the named default."""

    name: str = option(about="which candidate (see `perennial.learn.models`)")
    parameters: dict[str, Any] = option({}, about="fixed parameters, by the learner's own names")
    trials: int = option(0, about="draws from its search space besides the fixed one", unit="trials", ge=0)


class Learn(Section):
    """Which models are tried, and how long the search may take."""

    target_scale: Literal["identity", "log"] = option("identity", about="scale on which a number is learned")
    relative_to: str | None = option(
        None,
        about="feature from which the target is told as a difference, on the log scale as a ratio; none for none",
    )
    candidates: tuple[Candidate, ...] = option(
        about="the models on trial; the first is the default", min_length=1
    )
    search: Search = option(RandomSearch, about="how draws from the search spaces are made and scored")
    folds: int = option(5, about="cross-validation folds inside the training rows", unit="folds", ge=2, le=20)
    budget_s: float = option(300.0, about="time after which no new trial starts", unit="s", gt=0)
    search_rows: int = option(0, about="rows that the search uses at most; 0 for all", unit="rows", ge=0)
    threshold: Literal["half", "f1"] = option(
        "half",
        about="above which probability the second of two classes is answered: 0.5, or where F1 is greatest out of "
        "fold in training",
    )
    default_margin: float = option(
        1.0,
        about="how far a candidate must be ahead of the default to replace it",
        unit="standard errors",
        ge=0,
    )
    gaps: Share = option(
        0.0,
        about="share of the training rows that are repeated with values taken out, so that the model learns to "
        "answer rows with impossible values or unseen categories",
        unit="1",
    )
    threads: int = option(
        2, about="folds that are fitted at once, and threads of one large fit", unit="threads", ge=1
    )


class Recent(Section):
    """Intervals of forecasts follow how those of the last days held, once their truth is known."""

    days: float = option(90.0, about="how far back forecasts count", unit="days", gt=0)
    delay_hours: float = option(
        24.0, about="how long after the time that a row is about its truth is known", unit="h", ge=0
    )


class Evaluate(Section):
    """How the numbers and their intervals are made."""

    resamples: int = option(1000, about="bootstrap resamples of an interval", unit="resamples", ge=100)
    level: Share = option(0.95, about="confidence level of the metrics' intervals", unit="1")
    prediction_levels: tuple[Part, ...] = option(
        (0.9,),
        about="nominal coverages of the prediction intervals, the main one first",
        unit="1",
        min_length=1,
    )
    recent: Recent | None = option(
        None, about="makes intervals follow how the last ones held; none leaves them as they were learned"
    )

    @field_validator("prediction_levels")
    @classmethod
    def _are_different(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(levels)) < len(levels):
            raise ValueError("expected different levels, found one twice; name each once")
        return levels


class Bundle(Section):
    """What ships, and how closely its export must follow the fitted model."""

    onnx: Literal["auto", "required", "off"] = option("auto", about="whether to export to ONNX")
    parity_largest: float = option(
        1e-3,
        about="largest difference allowed between ONNX and the fitted model, relative (numbers) or absolute "
        "(probabilities)",
        unit="1",
        gt=0,
    )
    parity_p999: float = option(1e-4, about="99.9th percentile of the same difference", unit="1", gt=0)
    golden_rows: int = option(
        32, about="rows kept with their answers and replayed before serving", unit="rows", ge=1
    )


class Tokens(Section):
    """Secrets that callers send as bearer tokens; without any, nobody is asked who he is."""

    predict: SecretReference | None = option(None, about="who may ask for predictions, such as env:NAME")
    truth: SecretReference | None = option(None, about="who may tell what really happened")
    admin: SecretReference | None = option(None, about="who may do all, and read /metrics")


class Serve(Section):
    """Where predictions are answered."""

    host: str = option("127.0.0.1", about="address to listen on; loopback unless you decide otherwise")
    port: int = option(3000, about="port to listen on", unit="port", ge=1, le=65535)
    workers: int = option(1, about="processes that answer", unit="processes", ge=1)
    max_rows: int = option(1000, about="rows that one request may hold", unit="rows", ge=1)
    late_hours: float = option(
        6.0,
        about="how much older than usual the newest value of a history may be before a forecast falls back",
        unit="h",
        ge=0,
        le=8784,
    )
    tokens: Tokens = option(Tokens, about="who may ask what")
    tls_certificate: str | None = option(
        None, about="file of the TLS certificate, in PEM; none speaks plain HTTP"
    )
    tls_key: str | None = option(None, about="file of its private key, in PEM and without a password")


class Alerts(Section):
    """Who is told of incidents. Without anybody, the terminal and a file of JSON lines are."""

    to: tuple[SecretReference, ...] = option(
        (), about="secrets that hold notification addresses in Apprise's form, such as env:PERENNIAL_SLACK"
    )


class Schedule(Section):
    """When things run by themselves under `run.py schedule`; an empty expression never runs."""

    zone: str = option("UTC", about="time zone of the expressions")
    collect: str = option("", about="when to collect: five fields of cron")
    train: str = option("", about="when to train: five fields of cron")
    missed: Literal["once", "skip"] = option(
        "once", about="what becomes of runs that fell due while nothing was running"
    )
    grace_s: float = option(3600.0, about="how late a missed run may still start", unit="s", gt=0)

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("expected a time zone such as Europe/Paris") from error
        return value

    @field_validator("collect", "train")
    @classmethod
    def _readable_expression(cls, value: str) -> str:
        if value:
            read_cron(value)
        return value


class Config(Section):
    """One system from source to service."""

    system: str = option(
        about="which system: the name of its plugin in perennial/systems, with a name of its own behind a hyphen "
        "(used_cars-dealer) where several sources share a plugin",
    )
    seed: int = option(7, about="seed of everything that is drawn at random", unit="1", ge=0, le=2**32 - 1)
    source: Source = option(about="where records come from")
    profile: Profile = option(Profile, about="what the report on a dataset version holds")
    checks: Checks = option(Checks, about="when data is loud, and when it blocks training")
    features: Features | None = option(
        None, about="what rows the table has and what is known in each; none takes the system's defaults"
    )
    split: Split = option(about="which rows nothing is fitted or tuned on")
    learn: Learn = option(about="which models are tried")
    evaluate: Evaluate = option(Evaluate, about="how metrics and intervals are made")
    backtest: Backtest = option(Backtest, about="how models are tried on the past, as it would have come")
    promotion: Promotion = option(Promotion, about="what a challenger must pass")
    bundle: Bundle = option(Bundle, about="what ships")
    serve: Serve = option(Serve, about="where predictions are answered")
    journal: Journal = option(Journal, about="what is kept of predictions, and for how long")
    score: Score | None = option(
        None, about="which rows of a database of your own are scored; none for no such database"
    )
    alerts: Alerts = option(Alerts, about="who is told of incidents")
    schedule: Schedule = option(Schedule, about="when things run by themselves")

    @field_validator("system")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)?", value):
            raise ValueError("expected a name such as used_cars, or used_cars-dealer")
        return value
