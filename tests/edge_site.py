"""A server on loopback for the tests of the edge agent: it serves releases, takes journal rows, and can go away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen


class Site:
    """What the server does and what it was sent.

    Attributes:
        mode: `up`, `redirect` (to the same path at `elsewhere`), `cut` (a file's body ends half way), `portal` (200
            and a page for everything), `error` (503).
        batches: the bodies that were posted and taken.
        posts: how many were posted at all.
        bad: prediction ids that are turned away with 422.
        forgets: how many answers to taken batches are lost on the way back.
        headers: the headers of every request.
        gets: the paths that were asked for.
    """

    def __init__(self) -> None:
        self.mode = "up"
        self.batches: list[dict[str, Any]] = []
        self.posts = self.forgets = 0
        self.bad: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.gets: list[str] = []
        self.address = self.elsewhere = ""

    @property
    def taken(self) -> list[str]:
        """The prediction ids that arrived, repeats included, in their order."""
        return [entry["prediction_id"] for batch in self.batches for entry in batch["entries"]]

    @property
    def taken_once(self) -> list[str]:
        """The same as a receiver keeps them that leaves repeats out."""
        return list(dict.fromkeys(self.taken))


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Site]:
    """A site over `folder`, until the block ends."""
    site = Site()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, directory=str(folder), **named)

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            site.headers.append(dict(self.headers))
            site.gets.append(self.path)
            if site.mode == "redirect":
                self.away()
            elif site.mode in ("portal", "error"):
                self.say(200 if site.mode == "portal" else 503, b"<html>please log in</html>")
            elif site.mode == "cut" and "ledger" not in self.path:
                content = (folder / self.path.lstrip("/")).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
            else:
                super().do_GET()

        def do_POST(self) -> None:
            site.headers.append(dict(self.headers))
            site.posts += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            ids = {entry["prediction_id"] for entry in body["entries"]}
            if site.mode == "redirect":
                self.away()
            elif site.mode != "up":
                self.say(200 if site.mode == "portal" else 503, b"<html>please log in</html>")
            elif ids & site.bad:
                self.say(422, b'{"error": "invalid"}')
            else:
                site.batches.append(body)
                if site.forgets:
                    site.forgets -= 1
                    return
                self.say(200, json.dumps({"taken": len(body["entries"])}).encode())

        def away(self) -> None:
            self.send_response(302)
            self.send_header("Location", site.elsewhere + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def post(url: str, value: Any, headers: dict[str, str] | None = None) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON body and headers of a POST; raises URLError where nobody listens, HTTPError for refusals."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    request = Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    with urlopen(request, timeout=20) as reply:
        return reply.status, json.loads(reply.read()), dict(reply.headers)


def until(condition: Any, within_s: float = 20.0) -> None:
    """Returns once `condition()` holds; raises TimeoutError."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the condition never held")
        time.sleep(0.02)
