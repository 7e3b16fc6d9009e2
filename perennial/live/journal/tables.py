"""The tables of the journal, for SQLite and PostgreSQL alike."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlalchemy as sa

WITHDRAWN = "null"
"""The value of a truth that takes back what its source said before."""
SCHEMA = 1
"""Raised whenever a column changes, so that a file of another version is refused."""


class Tables(NamedTuple):
    """Predictions as they were answered, and what really happened, every revision of it."""

    predictions: sa.Table
    truth: sa.Table


@cache
def tables() -> Tables:
    """The tables; SQLAlchemy is first imported here."""
    import sqlalchemy as sa

    def text(name: str) -> sa.Column[str]:
        return sa.Column(name, sa.Text, nullable=False)

    def whole(name: str) -> sa.Column[int]:
        return sa.Column(name, sa.BigInteger, nullable=False)

    metadata = sa.MetaData()
    predictions = sa.Table(
        "perennial_predictions",
        metadata,
        *(text("system"), text("prediction_id"), text("arm"), whole("time_us"), text("model_version")),
        *(text("inputs"), text("output"), sa.Column("latency_s", sa.Double, nullable=False)),
        *(text("flag"), text("quality"), text("request_id"), whole("row"), text("unit")),
        sa.Column("about", sa.Text),
        sa.PrimaryKeyConstraint("system", "prediction_id", "arm"),
    )
    named = predictions.c.about.is_not(None)
    sa.Index("perennial_predictions_time", predictions.c.system, predictions.c.time_us)
    sa.Index(
        "perennial_predictions_about",
        predictions.c.system,
        predictions.c.about,
        sqlite_where=named,
        postgresql_where=named,
    )
    truth = sa.Table(
        "perennial_truth",
        metadata,
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        *(text("system"), sa.Column("prediction_id", sa.Text), sa.Column("about", sa.Text)),
        *(text("value"), text("source"), whole("known_us"), whole("recorded_us")),
    )
    sa.Index("perennial_truth_prediction", truth.c.system, truth.c.prediction_id, truth.c.known_us)
    sa.Index("perennial_truth_about", truth.c.system, truth.c.about, truth.c.known_us)
    return Tables(predictions, truth)


def statements(dialect: sa.Dialect) -> list[str]:
    """What makes tables and indexes that are not there yet, in the database's own words."""
    from sqlalchemy.schema import CreateIndex, CreateTable

    made: list[CreateTable | CreateIndex] = []
    for table in tables():
        made.append(CreateTable(table, if_not_exists=True))
        made += (CreateIndex(i, if_not_exists=True) for i in sorted(table.indexes, key=lambda i: str(i.name)))
    return [str(one.compile(dialect=dialect)) for one in made]
