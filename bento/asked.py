"""From a request's body and headers to rows and prediction ids, or to one documented refusal."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from perennial.errors import TableError

ENVELOPE = frozenset(("rows", "prediction_id", "prediction_ids"))
ID = re.compile(r"[\x20-\x7e]{1,128}")
ID_RULE = "1 to 128 printable ASCII characters"
FORMS = 'expected {"rows": [{...}, ...]}, one row {...}, or a list of rows [{...}, ...]'
SHOWN = 1000
PLACE = re.compile(r"rows\[(\d+)\](?:\.(.*))?", re.DOTALL)


class Refused(Exception):  # noqa: N818
    """A request that gets no prediction: its status and the one body that every refusal has.

    `violations` name `row` (from 0) and `field`, each None where the problem has none.
    """

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        violations: Iterable[dict[str, Any]] = (),
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = {"error": error, "message": message, "violations": list(violations)}


@dataclass(frozen=True)
class Asked:
    """What a caller wants: rows as they came, the id of the request, and an id for every row."""

    rows: list[Any]
    prediction_id: str
    row_ids: tuple[str, ...]


def invalid(message: str, *violations: dict[str, Any]) -> Refused:
    """The refusal of a body that is not what it should be: status 400."""
    return Refused(400, "invalid_request", message, violations)


def violation(row: int | None, field: str | None, problem: str) -> dict[str, Any]:
    """One entry of `violations`."""
    return {"row": row, "field": field, "problem": problem}


def read(body: bytes, header_id: str | None, max_rows: int) -> Asked:
    """The rows and ids of a request; raises Refused."""
    value = parse_json(body)
    if isinstance(value, list):
        rows, envelope = value, {}
    elif isinstance(value, dict) and ENVELOPE.isdisjoint(value):
        rows, envelope = [value], {}
    elif isinstance(value, dict):
        rows, envelope = value.get("rows"), value
    else:
        raise invalid(f"{FORMS}, found {_named(value)}")
    _check_envelope(rows, envelope)
    if len(rows) > max_rows:
        raise Refused(
            413,
            "too_large",
            f"expected at most {max_rows:,} rows in a request, found {len(rows):,}; send them in parts",
        )
    prediction_id = request_id(envelope.get("prediction_id"), header_id)
    return Asked(rows, prediction_id, row_ids(envelope.get("prediction_ids"), prediction_id, len(rows)))


def parse_json(body: bytes) -> Any:
    """The JSON value in a body; NaN, infinity and repeated keys are refused."""
    try:
        return DECODER.decode(body.decode())
    except json.JSONDecodeError as error:
        raise invalid(
            f"expected JSON, found {error.msg[:1].lower()}{error.msg[1:]} at line {error.lineno}, "
            f"column {error.colno}"
        ) from None
    except UnicodeDecodeError as error:
        raise invalid(f"expected JSON in UTF-8, found something else at byte {error.start}") from None
    except ValueError:
        raise invalid("expected numbers of a usable size, found one with thousands of digits") from None
    except RecursionError:
        raise invalid("expected rows of plain values, found lists or objects nested too deeply") from None


def from_table(error: TableError) -> Refused:
    """The refusal that says what is wrong with which row and field; lists the first SHOWN problems."""
    violations = []
    for one in error.violations[:SHOWN]:
        place = PLACE.fullmatch(one.where)
        row, field = (int(place[1]), place[2]) if place else (None, one.where or None)
        violations.append(violation(row, field, one.problem))
    count = len(error.violations)
    first = error.violations[0]
    rest = f", and {count - 1:,} more (see violations)" if count > 1 else ""
    return invalid(
        f"expected rows that follow the contract, found {first.where}: {first.problem}{rest}", *violations
    )


def header_id(value: bytes | None, name: str = "X-Prediction-Id") -> str | None:
    """The caller's id from a header; raises Refused where it cannot be used."""
    if value is None:
        return None
    text = value.decode("latin-1")
    if not ID.fullmatch(text):
        raise invalid(f"expected an {name} of {ID_RULE}")
    return text


def _check_envelope(rows: Any, envelope: dict[str, Any]) -> None:
    unknown = sorted(set(envelope) - ENVELOPE)
    if unknown:
        problems = [violation(None, name, "unknown field beside rows") for name in unknown]
        raise invalid(f"{FORMS}, found the unknown field {unknown[0]!r} beside rows", *problems)
    if not isinstance(rows, list):
        found = "nothing" if rows is None else _named(rows)
        raise invalid(
            f"expected rows to be a list of objects, found {found}",
            violation(None, "rows", "expected a list"),
        )
    if not rows:
        raise invalid(
            "expected at least one row, found none", violation(None, "rows", "expected one or more")
        )


def request_id(in_body: Any, in_header: str | None) -> str:
    """The caller's id of the request, or a fresh one; raises Refused."""
    if in_body is not None and not (isinstance(in_body, str) and ID.fullmatch(in_body)):
        raise invalid(
            f"expected prediction_id to be {ID_RULE}", violation(None, "prediction_id", f"expected {ID_RULE}")
        )
    if in_body is not None and in_header is not None and in_body != in_header:
        raise invalid(
            "expected one prediction id, found another in the header X-Prediction-Id than in the body",
            violation(None, "prediction_id", "differs from the header X-Prediction-Id"),
        )
    given: str | None = in_body if in_body is not None else in_header
    return given if given is not None else fresh_id(time.time_ns() // 1_000_000, os.urandom(10))


def fresh_id(now_ms: int, noise: bytes) -> str:
    """A UUID of version 7 (RFC 9562) in 32 hexadecimal digits, from milliseconds since 1970 and ten random bytes.

    Ids that grow with time go to one end of the journal's index; random ones would change a page of it each.
    """
    low = int.from_bytes(noise)
    variant = 0b10 << 62 | low & (1 << 62) - 1
    return f"{now_ms << 16 | 0x7000 | low >> 68:016x}{variant:016x}"


def row_ids(given: Any, prediction_id: str, count: int) -> tuple[str, ...]:
    """The caller's ids of the rows, or ids made from the request's; raises Refused."""
    if given is None:
        return (prediction_id,) if count == 1 else tuple(f"{prediction_id}-{row}" for row in range(count))
    if not isinstance(given, list) or len(given) != count:
        found = f"{len(given)}" if isinstance(given, list) else _named(given)
        raise invalid(
            f"expected prediction_ids to be a list of {count} ids, one per row, found {found}",
            violation(None, "prediction_ids", f"expected a list of {count} ids"),
        )
    seen: set[str] = set()
    problems = []
    for row, one in enumerate(given):
        if not (isinstance(one, str) and ID.fullmatch(one)):
            problems.append(violation(row, "prediction_ids", f"expected {ID_RULE}"))
        elif one in seen:
            problems.append(violation(row, "prediction_ids", "repeats the id of an earlier row"))
        else:
            seen.add(one)
    if problems:
        raise invalid("expected prediction_ids to be usable and different from each other", *problems)
    return tuple(given)


def _not_json(literal: str) -> NoReturn:
    raise invalid(f"expected JSON, found the literal {literal}, which is no JSON value")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise invalid(
            f"expected every key once in an object, found {twice!r} again",
            violation(None, twice, "stands twice"),
        )
    return made


DECODER = json.JSONDecoder(parse_constant=_not_json, object_pairs_hook=_without_repeats)


def _named(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
