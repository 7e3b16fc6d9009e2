"""What a collection has asked, is asking and has still to ask, and what every answer brought: one SQLite file.

A request is pending, in flight, done or failed. The transaction that ends a request also keeps its rows and
the requests it led to, so that a kill at any moment leaves a state to go on from.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from perennial.data.crawl.reading import Reading
from perennial.data.crawl.requests import FILE, LAYOUT, TABLES, Ask, Came, Known, Run, Totals
from perennial.data.crawl.walk import Ahead, Reached, Step
from perennial.errors import StoreError

ENDLESS = "expected the walk to end, found more pages than walk.most_pages; mend walk.next or raise the limit"


class Frontier:
    """The frontier in a folder; made where there is none. Used by one thread at a time.

    Raises:
        StoreError: from every method, where the file is damaged or of another layout, or the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._sizes: dict[tuple[int, str], int] = {}
        with self._named_errors():
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=60)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            (layout,) = self._db.execute("PRAGMA user_version").fetchone()
        if layout not in (0, LAYOUT):
            raise StoreError(self._path, f"expected layout {LAYOUT}, found {layout}", "delete the file")
        if layout == 0:
            with self._change():
                for statement in TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={LAYOUT}")

    @property
    def connection(self) -> sqlite3.Connection:
        """The open database, for those who keep tables of their own in the same file."""
        return self._db

    def close(self) -> None:
        """Closes the file; what was committed stays."""
        self._db.close()

    def last(self) -> Run | None:
        """The newest run, finished or not."""
        with self._named_errors():
            found = self._db.execute(
                "SELECT number, started_at, finished FROM runs ORDER BY number DESC LIMIT 1"
            ).fetchone()
        return Run(found[0], datetime.fromisoformat(found[1]), bool(found[2])) if found else None

    def start(self, now: datetime) -> Run:
        """A new run. Rows of runs before the last one are dropped; their answers stay."""
        with self._change():
            (number,) = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM runs").fetchone()
            self._db.execute("INSERT INTO runs (number, started_at) VALUES (?, ?)", (number, now.isoformat()))
            self._db.execute(
                "DELETE FROM rows WHERE request IN (SELECT id FROM requests WHERE run < ?)", (number - 1,)
            )
        return Run(number, now, False)

    def reopen(self, run: Run) -> None:
        """What was under way when the last process ended, or failed for the moment, becomes pending again."""
        with self._change():
            self._db.execute(
                "UPDATE requests SET state = 'pending', outcome = '', sentence = '', transient = 0 "
                "WHERE run = ? AND (state = 'in_flight' OR (state = 'failed' AND transient))",
                (run.number,),
            )

    def finish(self, number: int, good: bool) -> None:
        """Ends a run; raises StoreError where there is none of this number."""
        with self._change():
            query = "UPDATE runs SET finished = 1, good = ? WHERE number = ?"
            if not self._db.execute(query, (good, number)).rowcount:
                raise StoreError(self._path, f"expected a run {number}, found none", "collect first")

    def plan(self, run: Run, feed: str) -> tuple[str, str] | None:
        """The digests of the walk and of the reading rules that a feed of a run was planned with."""
        with self._named_errors():
            query = "SELECT walk, reading FROM feeds WHERE run = ? AND feed = ?"
            found: tuple[str, str] | None = self._db.execute(query, (run.number, feed)).fetchone()
        return found

    def sow(
        self, run: Run, feed: str, digests: tuple[str, str], steps: Iterable[Step], most: int | None
    ) -> None:
        """Plans a feed anew: whatever the run knew of it goes, and the first steps of its walk come.

        `digests` are those of its walk and its reading rules; `most` is as in `keep`.
        """
        chosen = (run.number, feed)
        asked = "SELECT id FROM requests WHERE run = ? AND feed = ?"
        with self._change():
            self._db.execute(f"DELETE FROM rows WHERE request IN ({asked})", chosen)  # noqa: S608
            self._db.execute("DELETE FROM requests WHERE run = ? AND feed = ?", chosen)
            self._db.execute(
                "REPLACE INTO feeds (run, feed, walk, reading) VALUES (?, ?, ?, ?)", (*chosen, *digests)
            )
            self._sizes.clear()
            self._add(chosen, tuple(steps), most, first=True)

    def read_by(self, run: Run, feed: str, reading: str) -> None:
        """Notes that all answers of a feed were read by the rules with this digest."""
        with self._change():
            query = "UPDATE feeds SET reading = ? WHERE run = ? AND feed = ?"
            self._db.execute(query, (reading, run.number, feed))

    def came_to(self, run: Run, feed: str, reached: Reached) -> None:
        """Notes how far the walk of a feed came; it counts once the run is finished as good."""
        with self._change():
            times = (moment.isoformat() if moment else None for moment in (reached.newest, reached.asked_at))
            query = "UPDATE feeds SET newest = ?, asked_at = ? WHERE run = ? AND feed = ?"
            self._db.execute(query, (*times, run.number, feed))

    def pending(self, run: Run, feed: str) -> int:
        """How many requests of a feed have still to be taken."""
        with self._named_errors():
            query = "SELECT count(*) FROM requests WHERE run = ? AND feed = ? AND state = 'pending'"
            (count,) = self._db.execute(query, (run.number, feed)).fetchone()
        return int(count)

    def take(self, run: Run, feed: str, most: int) -> list[Ask]:
        """Up to `most` pending requests of a feed in the order they were found; they are in flight now."""
        with self._change():
            found = self._db.execute(
                "SELECT r.id, r.url, r.mark, k.etag, k.last_modified, k.digest, k.content_type, k.final_url, "
                "k.sent_bytes FROM requests r LEFT JOIN known k ON k.feed = r.feed AND k.url = r.url "
                "WHERE r.run = ? AND r.feed = ? AND r.state = 'pending' ORDER BY r.id LIMIT ?",
                (run.number, feed, most),
            ).fetchall()
            self._db.executemany(
                "UPDATE requests SET state = 'in_flight' WHERE id = ?", [(row[0],) for row in found]
            )
        return [
            Ask(row[0], feed, Step(row[1], row[2]), Known(*row[3:]) if row[3] is not None else Known())
            for row in found
        ]

    def answered(self, run: Run, feed: str) -> list[int]:
        """The requests of a feed whose answers are stored, whether or not they could be read."""
        with self._named_errors():
            query = "SELECT id FROM requests WHERE run = ? AND feed = ? AND digest != '' ORDER BY id"
            return [request for (request,) in self._db.execute(query, (run.number, feed))]

    def stored(self, request: int, feed: str) -> Ask:
        """A request that was answered, with what its answer was."""
        with self._named_errors():
            query = "SELECT url, mark, digest, content_type, final_url FROM requests WHERE id = ?"
            row = self._db.execute(query, (request,)).fetchone()
        return Ask(request, feed, Step(*row[:2]), Known("", "", *row[2:]))

    def keep(
        self, run: Run, ask: Ask, came: Came | None, reading: Reading, ahead: Ahead, most: int | None
    ) -> tuple[int, int]:
        """Ends a request whose answer was read; returns how many requests are new, and the rows that count.

        Args:
            run: the run it belongs to.
            ask: the request.
            came: how the answer came; None where a stored one was read again.
            reading: what it holds.
            ahead: where it leads.
            most: bounds the requests of the feed; the first beyond it fails as endless, the rest is left out.
        """
        outcome, sentence = reading.outcome, reading.sentence
        if ahead.rows == "full":
            outcome = "window_full"
            sentence = (
                f"answer of {ask.step.url}: expected fewer rows than walk.most_rows, found {reading.elements:,}, and "
                "a shorter window does not help; check that the address uses {start} and {end}"
            )
        kept = ahead.rows == "keep" and not outcome
        rows = reading.row_count if kept else 0
        with self._change():
            new, led_to = self._lead_to(run, ask, ahead.steps, most)
            values = {
                "state": "failed" if outcome else "done",
                "outcome": "split" if ahead.rows == "split" else outcome,
                "sentence": sentence,
                "row_count": rows,
                "newest": reading.newest if kept else "",
                "counts": reading.counts if kept else None,
                "led_to": led_to,
                "digest": reading.digest,
                **(_columns(came) if came else {}),
            }
            names = ", ".join(f"{name} = :{name}" for name in values)
            self._db.execute(f"UPDATE requests SET {names} WHERE id = :id", {**values, "id": ask.id})  # noqa: S608
            if rows:
                self._db.execute("REPLACE INTO rows VALUES (?, ?, ?)", (ask.id, reading.rows, reading.keys))
            elif came is None:
                self._db.execute("DELETE FROM rows WHERE request = ?", (ask.id,))
            if came is not None:
                sent_bytes = came.saved_bytes or came.sent_bytes
                self._db.execute(
                    "REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(ask.feed, ask.step.url, came.etag, came.last_modified),
                        *(reading.digest, came.content_type, came.final_url, sent_bytes),
                    ),
                )
        return new, rows

    def refused(self, run: Run, ask: Ask, outcome: str, sentence: str, ahead: Ahead, most: int | None) -> int:
        """Ends a request whose refusal is a part of the walk; returns how many requests are new."""
        with self._change():
            new, led_to = self._lead_to(run, ask, ahead.steps, most)
            self._db.execute(
                "UPDATE requests SET state = 'done', outcome = ?, sentence = ?, led_to = ? WHERE id = ?",
                (outcome, sentence, led_to, ask.id),
            )
        return new

    def fail(self, ask: Ask, outcome: str, sentence: str, transient: bool) -> None:
        """Ends a request that has no answer."""
        with self._change():
            self._db.execute(
                "UPDATE requests SET state = 'failed', outcome = ?, sentence = ?, transient = ? WHERE id = ?",
                (outcome, sentence, transient, ask.id),
            )

    def ask_again(self, ask: Ask) -> None:
        """Puts a request back whose stored answer is missing or damaged, and forgets that answer."""
        with self._change():
            self._db.execute("DELETE FROM known WHERE feed = ? AND url = ?", (ask.feed, ask.step.url))
            self._db.execute("DELETE FROM rows WHERE request = ?", (ask.id,))
            self._db.execute(
                "UPDATE requests SET state = 'pending', outcome = '', sentence = '', digest = '', "
                "row_count = 0, counts = NULL WHERE id = ?",
                (ask.id,),
            )

    def totals(self, run: Run) -> Totals:
        """Counts over all feeds of a run."""
        with self._named_errors():
            found = self._db.execute(
                "SELECT count(*), coalesce(sum(state IN ('done', 'failed')), 0), "
                "coalesce(sum(row_count), 0), coalesce(sum(sent_bytes), 0) FROM requests WHERE run = ?",
                (run.number,),
            ).fetchone()
        return Totals(*found)

    def _lead_to(
        self, run: Run, ask: Ask, steps: Sequence[Step], most: int | None
    ) -> tuple[int, bytes | None]:
        if not steps:
            return 0, None
        new, ids = self._add((run.number, ask.feed), steps, most)
        return new, msgspec.json.encode(ids)

    def _add(
        self, chosen: tuple[int, str], steps: Sequence[Step], most: int | None, first: bool = False
    ) -> tuple[int, list[int]]:
        """Inserts those of the steps that are new; returns their number and the ids of all, in order."""
        known: dict[str, int] = dict(
            self._db.execute(
                "SELECT url, id FROM requests WHERE run = ? AND feed = ? "
                "AND url IN (SELECT value FROM json_each(?))",
                (*chosen, msgspec.json.encode([step.url for step in steps]).decode()),
            )
        )
        before = len(known)
        size = self._size(chosen)
        for step in steps:
            if step.url in known or (most is not None and size > most):
                continue
            endless = most is not None and size == most
            cursor = self._db.execute(
                "INSERT INTO requests (run, feed, url, mark, first, state, outcome, sentence) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *chosen,
                    step.url,
                    step.mark,
                    first,
                    "failed" if endless else "pending",
                    "endless" if endless else "",
                    f"request {step.url}: {ENDLESS}" if endless else "",
                ),
            )
            known[step.url] = cursor.lastrowid or 0
            size += 1
        self._sizes[chosen] = size
        ids = [known[step.url] for step in steps if step.url in known]
        return len(known) - before, ids

    def _size(self, chosen: tuple[int, str]) -> int:
        if chosen not in self._sizes:
            query = "SELECT count(*) FROM requests WHERE run = ? AND feed = ?"
            (self._sizes[chosen],) = self._db.execute(query, chosen).fetchone()
        return self._sizes[chosen]

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction: whole, or as if it had not begun."""
        with self._named_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._sizes.clear()
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            remedy = "free space or end the other process, then run the same command again"
            raise StoreError(
                self._path, f"expected a frontier that can be written, found: {error}", remedy
            ) from error
        except sqlite3.DatabaseError as error:
            remedy = "delete the file and collect again; stored answers stay"
            raise StoreError(self._path, f"expected a whole frontier, found: {error}", remedy) from error


def _columns(came: Came) -> dict[str, object]:
    return {
        "final_url": came.final_url,
        "content_type": came.content_type,
        "received_at": came.received_at.isoformat(),
        "seconds": came.seconds,
        "sent_bytes": came.sent_bytes,
        "saved_bytes": came.saved_bytes,
        "unchanged": came.unchanged,
    }
