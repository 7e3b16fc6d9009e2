"""What a caller of `/forecast` or `/observe` wants, read from the body, or one documented refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bento import asked
from bento.asked import Refused, violation
from bento.forecast.plan import Plan
from bento.forecast.readings import Values, moment, read_rows
from perennial.config_web import Feed
from perennial.errors import suggestion

MOST_ROWS = 50_000
FORECAST = ("origin", "horizon", "history", "prediction_id")
OBSERVE = ("feed", "rows")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """A forecast that is asked for.

    Attributes:
        origin: when it is made, as it were: nothing that became known later is used.
        steps: how many rows it has.
        history: rows by feed; None where what was observed counts.
        prediction_id: the id of the request.
    """

    origin: datetime
    steps: int
    history: Mapping[str, list[Values]] | None
    prediction_id: str


def wanted(body: bytes, plan: Plan, now: datetime, header_id: str | None) -> Wanted:
    """The forecast that a body asks for; an empty body wants the usual one. Raises Refused."""
    value = asked.parse_json(body) if body.strip() else {}
    given = _fields(value, FORECAST, '{"origin": ..., "horizon": ..., "history": {...}}')
    history = given.get("history")
    return Wanted(
        _origin(given.get("origin"), plan, now),
        _steps(given.get("horizon"), plan),
        None if history is None else _history(history, plan),
        asked.request_id(given.get("prediction_id"), header_id),
    )


def observed(body: bytes, plan: Plan) -> tuple[str, list[Values], list[dict[str, Any]]]:
    """The feed that a body names, its usable rows, and what a rule left out; raises Refused."""
    given = _fields(asked.parse_json(body), OBSERVE, '{"feed": ..., "rows": [{"time": ..., ...}, ...]}')
    name = given.get("feed")
    if not isinstance(name, str):
        known = ", ".join(plan.source.feeds)
        raise asked.invalid(
            f"expected feed to name one of {known}", violation(None, "feed", f"expected one of {known}")
        )
    feed = _feed(name, plan)
    rows = given.get("rows")
    _check_count(len(rows) if isinstance(rows, list) else 0)
    found, left_out = _rows(rows, name, feed)
    return name, found, left_out


def _fields(value: Any, known: tuple[str, ...], form: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise asked.invalid(f"expected {form}, found something else")
    unknown = sorted(set(value) - set(known))
    if unknown:
        problems = [violation(None, name, f"unknown field{suggestion(name, known)}") for name in unknown]
        raise asked.invalid(f"expected {form}, found the unknown field {unknown[0]!r}", *problems)
    return value


def _origin(value: Any, plan: Plan, now: datetime) -> datetime:
    step = plan.followed.step
    if value is None:
        return plan.followed.origin(now)
    try:
        found = moment(value)
    except ValueError as error:
        raise asked.invalid(f"origin: {error}", violation(None, "origin", str(error))) from None
    if (found - EPOCH) % step:
        problem = f"expected an origin on a step of {step.total_seconds() / 60:g} min, found {value!r}"
        raise asked.invalid(problem, violation(None, "origin", problem))
    return found


def _steps(value: Any, plan: Plan) -> int:
    most = plan.followed.steps
    if value is None:
        return most
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 1 <= value <= most or value != int(value):
        hours = plan.followed.step.total_seconds() / 3600
        problem = f"expected a horizon of 1 to {most} steps of {hours:g} h, found another value"
        raise asked.invalid(problem, violation(None, "horizon", problem))
    return int(value)


def _history(value: Any, plan: Plan) -> dict[str, list[Values]]:
    if not isinstance(value, dict):
        problem = "expected an object with a list of rows per feed"
        raise asked.invalid(f"history: {problem}", violation(None, "history", problem))
    _check_count(sum(len(rows) for rows in value.values() if isinstance(rows, list)))
    return {name: _rows(rows, f"history.{name}", _feed(name, plan))[0] for name, rows in value.items()}


def _feed(name: str, plan: Plan) -> Feed:
    if name not in plan.source.feeds:
        known = ", ".join(plan.source.feeds)
        problem = f"expected one of the feeds {known}, found {name[:100]!r}"
        raise asked.invalid(problem, violation(None, "feed", problem))
    return plan.source.feeds[name]


def _rows(rows: Any, where: str, feed: Feed) -> tuple[list[Values], list[dict[str, Any]]]:
    if not isinstance(rows, list):
        raise asked.invalid(
            f"expected {where} to be a list of rows", violation(None, where, "expected a list of rows")
        )
    found = read_rows(rows, feed)
    if found.problems:
        first, count = found.problems[0], len(found.problems)
        rest = f", and {count - 1:,} more (see violations)" if count > 1 else ""
        place = f"{where}[{first['row']}]" + (f".{first['field']}" if first["field"] else "")
        raise asked.invalid(f"{place[:200]}: {first['problem']}{rest}", *found.problems[: asked.SHOWN])
    return found.rows, found.left_out


def _check_count(count: int) -> None:
    if count > MOST_ROWS:
        raise Refused(
            413, "too_large", f"expected at most {MOST_ROWS:,} rows, found {count:,}; send them in parts"
        )
