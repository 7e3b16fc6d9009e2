"""Collecting a generated site from a local nginx: pages per processor second beside Scrapy and Crawlee."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ITEMS, PAGE_BYTES, LINKS = 40, 100_000, 8
CONTESTANTS = ("perennial", "scrapy", "crawlee", "bare aiohttp + lxml")
NGINX = """
{user}worker_processes 1; daemon off; error_log stderr; pid {run}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    types {{ text/html html; }}
    access_log off; sendfile on; keepalive_requests 100000; charset utf-8;
    client_body_temp_path {run}/body; proxy_temp_path {run}/proxy; fastcgi_temp_path {run}/fastcgi;
    uwsgi_temp_path {run}/uwsgi; scgi_temp_path {run}/scgi;
    server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
"""


@dataclass(frozen=True)
class Run:
    """One crawl in a process of its own: what it found, wall and processor seconds, peak memory in MB."""

    pages: int
    items: int
    wall_s: float
    cpu_s: float
    peak_mb: float

    @property
    def pages_per_cpu_s(self) -> float:
        """Pages per second of processor time, start of the interpreter included."""
        return self.pages / self.cpu_s


def main(arguments: list[str]) -> None:
    """Measures every contestant in turn and prints a table; skips where nginx is not installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks collect", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="crawls per contestant of the larger site")
    parser.add_argument("--pages", type=int, nargs="+", default=[200, 2000], help="sizes of the site")
    parser.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    options = parser.parse_args(arguments)
    if shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        print("skipped: expected nginx on PATH, found none; apt-get install nginx")
        return
    commands = {name: command for name, command in _commands().items() if name in options.only}
    for pages in options.pages:
        rounds = options.rounds if pages == max(options.pages) else 1
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        with _serving(_site(pages)) as base, tempfile.TemporaryDirectory() as folder:
            # What a crawl left is deleted at the very end: ext4 makes new files slowly after many deletions.
            for turn in range(rounds):
                for name, command in commands.items():
                    place = Path(folder) / f"{turn}-{name}"
                    runs[name].append(_timed(name, [*command, base], pages, place))
        print(f"\n{pages:,} pages of {PAGE_BYTES // 1000} KB, {ITEMS} items each; medians of {rounds}\n")
        print(_table(runs))


def _table(runs: dict[str, list[Run]]) -> str:
    """Per contestant the medians; a ratio to Scrapy is the median of the ratios round by round."""
    head = ("pages", "items", "wall s", "cpu s", "pages/cpu s", "x Scrapy", "peak MB")
    lines = [f"{'':<22}" + "".join(f"{name:>12}" for name in head)]
    for name, found in runs.items():
        ratio = ""
        if against := runs.get("scrapy"):
            pairs = zip(found, against, strict=True)
            ratio = f"{statistics.median(a.pages_per_cpu_s / b.pages_per_cpu_s for a, b in pairs):.2f}"
        wall, cpu, rate, peak = (
            statistics.median(getattr(run, what) for run in found)
            for what in ("wall_s", "cpu_s", "pages_per_cpu_s", "peak_mb")
        )
        lines.append(
            f"{name:<22}{found[0].pages:>12,}{found[0].items:>12,}{wall:>12.2f}{cpu:>12.2f}{rate:>12.0f}"
            f"{ratio:>12}{peak:>12.0f}"
        )
    return "\n".join(lines)


def _timed(name: str, command: Sequence[str], pages: int, folder: Path) -> Run:
    """One crawl in a new folder; raises RuntimeError where it failed or did not bring everything."""
    folder.mkdir()
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    found = json.loads(text.splitlines()[-1]) if process.returncode == 0 else {}
    if found != {"pages": pages, "items": pages * ITEMS}:
        raise RuntimeError(f"{name}: expected {pages:,} pages of {ITEMS} items, found:\n{text[-2000:]}")
    return Run(**found, wall_s=wall_s, cpu_s=used.ru_utime + used.ru_stime, peak_mb=used.ru_maxrss / 1024)


def _commands() -> dict[str, list[str]]:
    others = _environment()
    folder = HERE / "contestants"
    return {
        "perennial": [sys.executable, str(folder / "ours.py")],
        "scrapy": [others, str(folder / "with_scrapy.py")],
        "crawlee": [others, str(folder / "with_crawlee.py")],
        "bare aiohttp + lxml": [sys.executable, str(folder / "bare.py")],
    }


def _environment() -> str:
    """The Python of an environment with the other crawlers, apart from our own; made where there is none."""
    folder = _cache() / "collect"
    python = str(folder / "bin" / "python")
    wanted = (HERE.parent / "requirements" / "bench.in").read_bytes()
    made = folder / "bench.in"
    if not made.exists() or made.read_bytes() != wanted:
        uv = [sys.executable, "-m", "uv", "--quiet"]
        subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [*uv, "pip", "install", "--compile-bytecode", "--python", python]
        subprocess.run([*install, "-r", str(HERE.parent / "requirements" / "bench.in")], check=True)
        made.write_bytes(wanted)
    return python


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perennial-benchmarks"


def _site(pages: int) -> Path:
    """A folder of generated pages, the same for every seed of nothing; kept between runs."""
    folder = _cache() / f"site-{pages}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = random.Random(0)
        words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 9))) for _ in range(3000)]
        for page in range(1, pages + 1):
            (folder / f"page-{page}.html").write_text(_page(page, pages, rng, words), encoding="utf-8")
        (folder / "complete").touch()
    return folder


def _page(number: int, pages: int, rng: random.Random, words: Sequence[str]) -> str:
    """One result page: a third of it is markup, as on the real ones, and it links to the next pages."""
    items = []
    for item in range(ITEMS):
        title = " ".join(rng.choices(words, k=6))
        text = " ".join(rng.choices(words, k=208))
        badges = "".join(
            f'<span class="badge"><i class="icon"></i>{w}</span>' for w in rng.choices(words, k=9)
        )
        items.append(
            f'<li class="listing" data-id="{number}-{item}"><div class="card"><div class="photo">'
            f'<img src="/photos/{number}/{item}.jpg" alt="{title}" loading="lazy" width="320" height="240"></div>'
            f'<h2 class="title"><a href="/cars/{number}-{item}">{title}</a></h2>'
            f'<span class="price">£{rng.randint(500, 90_000):,}</span>'
            f'<dl><dt>Year</dt><dd class="year">{rng.randint(1995, 2025)}</dd>'
            f'<dt>Mileage</dt><dd class="mileage">{rng.randint(0, 200_000):,} miles</dd>'
            f'<dt>Fuel</dt><dd class="fuel">{rng.choice(("Petrol", "Diesel", "Electric"))}</dd></dl>'
            f'<p class="place">{rng.choice(words)}</p><p class="text">{text}</p>'
            f'<div class="badges">{badges}</div></div></li>'
        )
    following = range(number + 1, min(number + LINKS, pages) + 1)
    links = "".join(f'<a href="page-{page}.html">{page}</a>' for page in following)
    head = '<!DOCTYPE html><html><head><meta charset="utf-8"><title>Cars</title></head><body><main><ul>'
    foot = f'</ul></main><nav class="pager">{links}</nav>'
    body = head + "".join(items) + foot
    fill = "".join(f"<!-- {word} -->" for word in rng.choices(words, k=400))
    return body + fill[: max(0, PAGE_BYTES - len(body) - 14)].rpartition("<!--")[0] + "</body></html>"


@contextmanager
def _serving(site: Path) -> Iterator[str]:
    """The address of the site, served by an nginx of our own until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as run:
        config = Path(run) / "nginx.conf"
        user = "user root;\n" if os.geteuid() == 0 else ""
        config.write_text(NGINX.format(user=user, run=run, port=port, site=site))
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
        process = subprocess.Popen([nginx, "-p", run, "-c", str(config)])
        try:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            else:
                raise RuntimeError("expected nginx to answer within 10 s")
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(timeout=10)
