"""Scores that wait for a person, the most uncertain ones first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa

from perennial.live.answer import AnswerRule
from perennial.live.scoring.database import told
from perennial.live.scoring.reviews import Value, key_text, reviewed_scores, value_text
from perennial.live.scoring.scores import FLAG, TIME, VERSION, predicted_name
from perennial.live.scoring.stock import Stock
from perennial.live.scoring.writing import Place

STREAMED = 1_000
Kind = Literal["all", "unanswered", "flagged", "plain"]


@dataclass(frozen=True)
class Wanted:
    """Which scores to look at.

    Attributes:
        kind: all, those without an answer, those with a flag, or those with neither trouble.
        text: a part of the flag, in any case; "" for any.
        doubt: the least doubt: of a number the width of its interval as a share of it, of a class one minus its
            probability. Rows without an answer are in doubt beyond any number.
    """

    kind: Kind = "all"
    text: str = ""
    doubt: float = 0.0


@dataclass(frozen=True)
class Score:
    """A score with the row that it was made of; `inputs` as the stock table holds them, by its column names."""

    key: Mapping[str, str]
    inputs: Mapping[str, Any]
    model_version: str
    scored_at: datetime
    predicted: Value | None
    low: float | None
    high: float | None
    probability: float | None
    flag: str


def waiting_scores(
    stock: Stock, scores: Place, rule: AnswerRule, system: str, wanted: Wanted, most: int
) -> list[Score]:
    """Up to `most` scores that nobody has reviewed; raises DatabaseError."""
    found: list[Score] = []
    for row in unreviewed(stock, scores, rule, system, wanted):
        if len(found) == most:
            break
        found.append(_score(stock, rule, row))
    return found


def unreviewed(
    stock: Stock,
    scores: Place,
    rule: AnswerRule,
    system: str,
    wanted: Wanted | None = None,
    again: bool = False,
) -> Iterator[sa.Row[Any]]:
    """The rows of `uncertain_first`, without reviewed ones unless `again`; read as they are asked for."""
    query, name = uncertain_first(stock, scores, rule, wanted or Wanted()), predicted_name(rule)
    done = set() if again else reviewed_scores(stock.engine, system, stock.name)
    with told(stock.engine, f"reading {stock.table.name}"), stock.engine.connect() as connection:
        for row in connection.execution_options(yield_per=STREAMED).execute(query):
            values = row._mapping
            if (key_text(key_of(stock, row)), values[VERSION], value_text(values[name])) not in done:
                yield row


def uncertain_first(stock: Stock, scores: Place, rule: AnswerRule, wanted: Wanted) -> sa.Select[Any]:
    """Scores beside the key and the inputs: without an answer, flagged, then by doubt."""
    table, own, name = stock.table.alias("stock"), scores.table.alias("scores"), predicted_name(rule)
    inputs = [table.c[c] for c in dict.fromkeys(stock.features.values()) if c not in stock.key]
    shown = [own.c[c] for c in (VERSION, TIME, *scores.columns[: scores.columns.index(VERSION)], FLAG)]
    none, flagged = own.c[name].is_(None), own.c[FLAG] != ""
    if rule.task == "classification":
        doubt: sa.ColumnElement[Any] = 1 - own.c[f"{name}_probability"]
    else:
        size = sa.func.nullif(sa.func.abs(own.c[name]), 0)
        doubt = sa.func.coalesce((own.c[f"{name}_high"] - own.c[f"{name}_low"]) / size, 0)
    kinds = {"all": sa.true(), "unanswered": none, "flagged": flagged, "plain": sa.not_(none | flagged)}
    conditions = [kinds[wanted.kind]]
    if wanted.text:
        conditions.append(sa.func.lower(own.c[FLAG]).contains(wanted.text.lower(), autoescape=True))
    if wanted.doubt:
        conditions.append(none | (doubt >= wanted.doubt))
    joined = table.join(own, sa.and_(*(table.c[k] == own.c[k] for k in stock.key)))
    return (
        sa.select(*(table.c[k] for k in stock.key), *inputs, *shown)
        .select_from(joined)
        .where(own.c[VERSION].is_not(None), *conditions)
        .order_by(sa.case((none, 0), (flagged, 1), else_=2), doubt.desc(), *(table.c[k] for k in stock.key))
    )


def key_of(stock: Stock, row: sa.Row[Any]) -> dict[str, str]:
    """The key of a row of `uncertain_first`, as text."""
    return {name: str(cell(value)) for name, value in zip(stock.key, row, strict=False)}


def cell(value: Any) -> Any:
    """A value as it is written for people; moments in UTC."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) and value.tzinfo else value


def as_moment(value: datetime | str) -> datetime:
    """When a row was scored, aware, however the database keeps it."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _score(stock: Stock, rule: AnswerRule, row: sa.Row[Any]) -> Score:
    values, name = row._mapping, predicted_name(rule)
    return Score(
        key=key_of(stock, row),
        inputs={c: values[c] for c in dict.fromkeys(stock.features.values())},
        model_version=values[VERSION],
        scored_at=as_moment(values[TIME]),
        predicted=values[name],
        low=values.get(f"{name}_low"),
        high=values.get(f"{name}_high"),
        probability=values.get(f"{name}_probability"),
        flag=values[FLAG] or "",
    )
