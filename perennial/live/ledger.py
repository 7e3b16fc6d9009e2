"""The ledger of one system: the append-only, hash-chained list of what was decided, and so of what serves.

One entry is one file, `000001.json` and on, created exclusively: the number is the lock, so that of two
promotions at once one wins. Every entry holds the digest of its own content and of the entry before it. That
shows any later edit, gap or swap; it cannot show that the newest entries were taken away together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from perennial.errors import LedgerError, StalePromotionError
from perennial.live.files import canonical
from perennial.live.ledger_store import FolderStore as FolderStore
from perennial.live.ledger_store import Store as Store

FORMAT = 1
SERVING_KINDS = ("promotion", "rollback")
KEPT = "kept"


@dataclass(frozen=True)
class Facts:
    """What one entry states.

    Attributes:
        system: whose ledger this is.
        kind: `promotion` or `rollback`; `kept` for a challenger that was not released, which like any other kind
            does not change what serves.
        version: the bundle version that serves from now on ("v3"); of `kept` the one that was not released.
        bundle_digest: the digest of that bundle.
        bundle_identity: the digest of its content apart from time and sequence number.
        from_version: the version that served until now, and of `kept` still does; None where nothing did.
        at: when, UTC.
        who: user@host.
        reasons: a sentence each.
        evidence: JSON values behind the reasons.
        barred: versions that must not be promoted automatically from now on.
    """

    system: str
    kind: str
    version: str
    bundle_digest: str
    bundle_identity: str
    from_version: str | None
    at: datetime
    who: str
    reasons: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    barred: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError(f"expected a time with its zone, found {self.at.isoformat()}")


@dataclass(frozen=True)
class Entry:
    """One entry: facts, number from 1, SHA-256 of the file before it (`previous`) and of its own content."""

    number: int
    previous: str
    facts: Facts
    digest: str


def append(store: Store, facts: Facts, expected_head: int) -> Entry:
    """The new entry, written durably as number `expected_head` + 1; see also `append_after`.

    `expected_head` is the number of the last entry when the evidence was gathered; 0 for an empty ledger.

    Raises:
        StalePromotionError: somebody else's entry came first; nothing was written.
        LedgerError: the ledger is broken.
    """
    chain, last = _chain(store)
    if len(chain) != expected_head:
        raise StalePromotionError(expected_head, len(chain))
    if chain and chain[-1].facts.system != facts.system:
        raise LedgerError(
            f"expected an entry for {chain[-1].facts.system}, found one for {facts.system}; "
            "each system has a ledger of its own"
        )
    entry = _sealed(facts, expected_head + 1, last)
    try:
        store.create_exclusive(_name(entry.number), _encoded(entry))
    except FileExistsError:
        raise StalePromotionError(expected_head, len(store.list())) from None
    return entry


def append_after(store: Store, facts: Facts, expected_head: int) -> Entry:
    """The new entry, where nothing that serves has changed since `expected_head`.

    Entries that somebody else added since then, and that did not change what serves, are no hindrance: what was
    found out about the champion still holds.

    Raises:
        StalePromotionError: another promotion or rollback came first; nothing was written.
        LedgerError: the ledger is broken.
    """
    while True:
        chain = entries(store)
        if len(chain) < expected_head or serving(chain[expected_head:]):
            raise StalePromotionError(expected_head, len(chain))
        try:
            return append(store, facts, len(chain))
        except StalePromotionError:
            continue  # somebody was faster: look at what they added


def entries(store: Store) -> tuple[Entry, ...]:
    """All entries in order; raises LedgerError naming the first that is missing, edited or misplaced."""
    return _chain(store)[0]


def champion(history: Sequence[Entry]) -> Entry | None:
    """The entry that says what serves now; None where nothing was released."""
    return next(iter(serving(history)[::-1]), None)


def at(history: Sequence[Entry], time: datetime) -> Entry | None:
    """The entry that says what served at `time`; None where nothing did.

    The ledger's order counts, not the clocks: the last entry made at or before `time` decides.
    """
    return champion([e for e in history if e.facts.at <= time])


def previous(history: Sequence[Entry]) -> Entry | None:
    """The release to fall back to: what served before the champion, without what was rolled back from."""
    standing: list[Entry] = []
    for entry in history:
        if entry.facts.kind == "promotion":
            standing.append(entry)
        elif entry.facts.kind == "rollback":
            versions = [e.facts.version for e in standing]
            if entry.facts.version in versions:
                del standing[len(versions) - versions[::-1].index(entry.facts.version) :]
            else:
                standing.append(entry)
    return standing[-2] if len(standing) > 1 else None


def barred(history: Sequence[Entry]) -> frozenset[str]:
    """The versions that must not be promoted automatically: rolled back from, and not released since."""
    versions: set[str] = set()
    for entry in serving(history):
        versions = (versions | set(entry.facts.barred)) - {entry.facts.version}
    return frozenset(versions)


def serving(history: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries that changed what serves: promotions and rollbacks."""
    return tuple(e for e in history if e.facts.kind in SERVING_KINDS)


def _chain(store: Store) -> tuple[tuple[Entry, ...], str]:
    """The verified entries, and the SHA-256 of the last one's file ("" for an empty ledger)."""
    chain: list[Entry] = []
    previous_digest = ""
    for number, name in enumerate(sorted(store.list(), key=lambda n: (len(n), n)), start=1):
        if name != _name(number):
            raise LedgerError(
                f"ledger entry {_name(number)}: expected to find it, found {name} in its place; restore the "
                "missing entry from a copy"
            )
        data = store.read(name)
        entry = _decoded(name, data)
        if (entry.number, entry.previous) != (number, previous_digest):
            raise _broken(name, "one that does not follow the entry before it")
        if chain and entry.facts.system != chain[0].facts.system:
            raise _broken(name, f"one of another system, {entry.facts.system}")
        chain.append(entry)
        previous_digest = hashlib.sha256(data).hexdigest()
    return tuple(chain), previous_digest


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _broken(name: str, found: str) -> LedgerError:
    return LedgerError(
        f"ledger entry {name}: expected the entry as it was written, found {found}; restore it from a copy"
    )


def _content(facts: Facts, number: int, previous_digest: str) -> dict[str, Any]:
    values = {f.name: getattr(facts, f.name) for f in fields(facts)}
    values["at"] = facts.at.astimezone(UTC).isoformat()
    return {"format": FORMAT, "number": number, "previous": previous_digest, **values}


def _sealed(facts: Facts, number: int, previous_digest: str) -> Entry:
    content = _content(facts, number, previous_digest)
    return Entry(number, previous_digest, facts, hashlib.sha256(canonical(content)).hexdigest())


def _encoded(entry: Entry) -> bytes:
    content = {**_content(entry.facts, entry.number, entry.previous), "digest": entry.digest}
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _decoded(name: str, data: bytes) -> Entry:
    """The entry in a file's bytes; raises LedgerError unless they are exactly what `_encoded` writes."""
    try:
        content = json.loads(data)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise _broken(name, f"no entry of format {FORMAT}")
        facts = Facts(
            **{f.name: content[f.name] for f in fields(Facts) if f.name not in ("at", "reasons", "barred")},
            at=datetime.fromisoformat(content["at"]),
            reasons=tuple(content["reasons"]),
            barred=tuple(content["barred"]),
        )
        entry = _sealed(facts, content["number"], content["previous"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _broken(name, "something else") from None
    if _encoded(entry) != data:
        raise _broken(name, "an edited one")
    return entry
