"""The tables of a frontier, and what their rows are as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from perennial.data.crawl.walk import Step

FILE = "frontier.sqlite"
LAYOUT = 1
TABLES = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, started_at TEXT NOT NULL, finished INTEGER NOT NULL DEFAULT 0,
    good INTEGER NOT NULL DEFAULT 0);
CREATE TABLE feeds (
    run INTEGER NOT NULL, feed TEXT NOT NULL, walk TEXT NOT NULL, reading TEXT NOT NULL,
    newest TEXT, asked_at TEXT, PRIMARY KEY (run, feed)) WITHOUT ROWID;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, feed TEXT NOT NULL, url TEXT NOT NULL, mark TEXT NOT NULL,
    first INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'pending', outcome TEXT NOT NULL DEFAULT '',
    sentence TEXT NOT NULL DEFAULT '', transient INTEGER NOT NULL DEFAULT 0, digest TEXT NOT NULL DEFAULT '',
    final_url TEXT NOT NULL DEFAULT '', content_type TEXT NOT NULL DEFAULT '', received_at TEXT,
    seconds REAL NOT NULL DEFAULT 0, sent_bytes INTEGER NOT NULL DEFAULT 0,
    saved_bytes INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0,
    row_count INTEGER NOT NULL DEFAULT 0, newest TEXT NOT NULL DEFAULT '', counts BLOB, led_to BLOB,
    UNIQUE (run, feed, url));
CREATE INDEX pending ON requests (run, feed, id) WHERE state = 'pending';
CREATE TABLE rows (request INTEGER PRIMARY KEY, body BLOB NOT NULL, keys BLOB NOT NULL);
CREATE TABLE known (
    feed TEXT NOT NULL, url TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL,
    digest TEXT NOT NULL, content_type TEXT NOT NULL, final_url TEXT NOT NULL, sent_bytes INTEGER NOT NULL,
    PRIMARY KEY (feed, url)) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Run:
    """One collection: its number (from 1), when it started (UTC), whether it was finished."""

    number: int
    started_at: datetime
    finished: bool


@dataclass(frozen=True)
class Known:
    """What the last answer of an address was; `digest` is "" where there was none."""

    etag: str = ""
    last_modified: str = ""
    digest: str = ""
    content_type: str = ""
    final_url: str = ""
    sent_bytes: int = 0


@dataclass(frozen=True)
class Ask:
    """A request that was taken from the frontier."""

    id: int
    feed: str
    step: Step
    known: Known


@dataclass(frozen=True)
class Came:
    """How an answer came: what is kept beside what was read from it."""

    final_url: str
    content_type: str
    received_at: datetime
    seconds: float
    sent_bytes: int
    saved_bytes: int
    unchanged: bool
    etag: str
    last_modified: str


@dataclass(frozen=True)
class Totals:
    """Counts over a whole run; `settled` are the requests that are done or failed."""

    known: int
    settled: int
    rows: int
    sent_bytes: int
