"""Answers kept in a folder, to be given again without any network."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec

from perennial.data.answer import Answer, Asker, Request
from perennial.errors import FetchError, SourceError
from perennial.live.files import write_atomic

STARTED = "recording.json"
NOT_KEPT = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate"})


class _Kept(msgspec.Struct, omit_defaults=True):
    """An answer whose body is in the file of the same name, or the failure that came in its place."""

    url: str
    final_url: str = ""
    headers: dict[str, str] = {}
    sent_bytes: int = 0
    received_at: datetime | None = None
    seconds: float = 0.0
    outcome: str = ""
    found: str = ""
    remedy: str = ""
    transient: bool = False


class Recorder:
    """Asks another asker, unconditionally, and keeps every answer and every failure in a folder.

    Headers of requests, which may hold secrets, and cookies are not kept.
    """

    def __init__(self, asker: Asker, folder: Path) -> None:
        self.asker = asker
        self._folder, self._stack = folder, AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens the other asker where it needs that."""
        if isinstance(self.asker, AbstractAsyncContextManager):
            await self._stack.enter_async_context(self.asker)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the other asker."""
        await self._stack.aclose()

    def started(self, now: datetime) -> datetime:
        """Keeps `now`, the start of the run that is recorded, and returns it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self._folder / STARTED, msgspec.json.encode({"started_at": now}))
        return now

    async def get(self, request: Request) -> Answer:
        """The other asker's answer; raises its FetchError."""
        try:
            answer = await self.asker.get(replace(request, etag="", last_modified=""))
        except FetchError as error:
            kept = _Kept(
                request.url,
                outcome=str(error.outcome),
                found=error.found,
                remedy=error.remedy,
                transient=error.transient,
            )
            await asyncio.to_thread(self._keep, kept, None)
            raise
        headers = {name: value for name, value in answer.headers.items() if name not in NOT_KEPT}
        kept = _Kept(
            request.url, answer.final_url, headers, answer.sent_bytes, answer.received_at, answer.seconds
        )
        await asyncio.to_thread(self._keep, kept, answer.body)
        return answer

    def waiting(self) -> dict[str, str]:
        """Why requests of the other asker wait; empty where it does not tell."""
        tell = getattr(self.asker, "waiting", None)
        return tell() if tell else {}

    def _keep(self, kept: _Kept, body: bytes | None) -> None:
        about, content = _names(self._folder, kept.url)
        if body is not None:
            write_atomic(content, body)
        write_atomic(about, msgspec.json.format(msgspec.json.encode(kept)))


class Replay:
    """Answers from the folder of a `Recorder`; whatever is not in there fails as not_recorded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / STARTED).is_file():
            raise SourceError(folder, "expected a recording, found none", "make one with collect --record")

    def started(self, now: datetime) -> datetime:
        """When the recorded run started, so that windows that end now end as they did then; `now` is not used."""
        text = (self._folder / STARTED).read_bytes()
        return msgspec.json.decode(text, type=dict[str, datetime])["started_at"]

    async def get(self, request: Request) -> Answer:
        """The recorded answer; raises FetchError where a failure was recorded, or nothing."""
        return await asyncio.to_thread(self._get, request.url)

    def _get(self, url: str) -> Answer:
        about, content = _names(self._folder, url)
        try:
            kept = msgspec.json.decode(about.read_bytes(), type=_Kept)
            body = b"" if kept.outcome else content.read_bytes()
        except FileNotFoundError as error:
            found = f"expected a recorded answer in {self._folder}, found none"
            raise FetchError(url, "not_recorded", found, "record again with collect --record") from error
        if kept.outcome:
            raise FetchError(url, kept.outcome, kept.found, kept.remedy, kept.transient)
        assert kept.received_at is not None
        return Answer(
            url, kept.final_url, 200, kept.headers, body, kept.sent_bytes, kept.received_at, kept.seconds
        )


def _names(folder: Path, url: str) -> tuple[Path, Path]:
    name = hashlib.sha256(url.encode()).hexdigest()[:32]
    return folder / f"{name}.json", folder / f"{name}.body"
