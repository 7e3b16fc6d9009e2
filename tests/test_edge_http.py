"""The edge agent over real HTTP: releases come in, answers are given on- and offline, journal rows go home."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bento.edge.agent import Agent
from bento.edge.queue import Queue
from bento.edge.s3 import presigned
from bento.edge.slots import Device
from bento.edge.source import HttpSource, open_source
from bento.edge.upload import Uploader
from perennial.errors import InputError
from perennial.live import sign
from perennial.live.build import build_bundle
from perennial.live.journal.entry import Entry
from perennial.live.sign import SigningKey
from tests import releases
from tests.edge_site import Site, post, serving, until
from tests.releases import NOW
from tests.test_edge import ROW, release_of, version

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return sign.key_pair(tmp_path / "keys")


@pytest.fixture
def shelf(tmp_path: Path, key: SigningKey) -> Path:
    release_of(tmp_path / "releases", key, 1.0)
    return tmp_path / "releases"


@pytest.fixture
def site(shelf: Path) -> Iterator[Site]:
    with serving(shelf) as made:
        yield made


def entry(number: int, text: str = "{}") -> Entry:
    return Entry(f"p{number}", "champion", number, "v1", text, "{}", 0.001)


def queue_of(tmp_path: Path, max_rows: int = 1000, max_bytes: int = 10**9) -> Queue:
    return Queue(tmp_path / "queue.sqlite", max_rows, max_bytes)


def sender(queue: Queue, site: Site, token: str = "") -> Uploader:
    return Uploader(queue, f"{site.address}/journal", "pump-7", "prices", token, None)


def ids(queue: Queue) -> list[str]:
    return [json.loads(row.body)["prediction_id"] for row in queue.first(1000, 10**9)]


def test_a_release_comes_over_http_piece_by_piece(
    tmp_path: Path, shelf: Path, key: SigningKey, site: Site
) -> None:
    device = Device(tmp_path / "device", "prices", key.public_path)
    made = Agent(device, HttpSource(site.address, "secret"), 3, NOW.timestamp)
    made.start()
    for mode, outcome in (
        ("portal", "ledger"),
        ("error", "unreachable"),
        ("cut", "unreachable"),
        ("up", "new"),
    ):
        site.mode = mode
        assert made.look() == outcome
    assert version(made) == "v1"
    assert {headers["Authorization"] for headers in site.headers} == {"Bearer secret"}
    first = len(site.gets)
    assert made.look() == "current" and len(site.gets) == first + 2
    release_of(shelf, key, 2.0)
    whole = (shelf / "prices" / "bundles" / "v2" / "reference.json").read_bytes()
    (shelf / "prices" / "bundles" / "v2" / "reference.json").write_bytes(whole[:100])
    assert made.look() == "corrupt"
    (shelf / "prices" / "bundles" / "v2" / "reference.json").write_bytes(whole)
    before = len(site.gets)
    assert made.look() == "new" and version(made) == "v2"
    again = {Path(path).name for path in site.gets[before:] if "bundles" in path}
    assert "reference.json" in again and "model.onnx" not in again  # what was whole is kept


def test_redirects_are_followed_for_files_alone_and_without_the_token(
    tmp_path: Path, shelf: Path, site: Site
) -> None:
    queue = queue_of(tmp_path)
    queue.put([entry(0)])
    with serving(tmp_path) as asked:
        asked.mode, asked.elsewhere = "redirect", site.address
        source = HttpSource(asked.address, "secret")
        name = "prices/ledger/000001.json"
        assert b"".join(source.chunks(name)) == (shelf / name).read_bytes()
        assert asked.headers[0]["Authorization"] == "Bearer secret"
        assert "Authorization" not in site.headers[0]
        assert sender(queue, asked, "secret").step() is False
    assert ids(queue) == ["p0"] and len(site.headers) == 1


def test_rows_arrive_once_each_in_order_whatever_happens(tmp_path: Path, site: Site) -> None:
    queue = queue_of(tmp_path)
    queue.put([entry(n) for n in range(450)])
    home = sender(queue, site, "secret")
    for mode in ("error", "portal"):
        site.mode = mode
        assert not home.step() and home.trouble and site.batches == []
    assert home.failures == 2 and home.pause_s() == 4.0
    site.mode, site.forgets = "up", 1
    assert not home.step()  # taken, but nobody said so
    site.bad = {"p230"}
    steps = 0
    while queue.counts().rows:
        home.step()
        steps += 1
    wanted = [f"p{n}" for n in range(450) if n != 230]
    assert site.taken_once == wanted and site.taken != wanted  # repeats are there, and show by their ids
    counts = queue.counts()
    assert (counts.sent, counts.refused, counts.dropped, counts.bytes) == (449, 1, 0, 0)
    assert site.batches[0]["device"] == "pump-7" and steps < 300
    assert site.headers[-1]["Authorization"] == "Bearer secret"


def test_a_full_queue_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    queue = queue_of(tmp_path, max_rows=10)
    for n in range(25):
        queue.put([entry(n)])
    queue.close()
    queue = queue_of(tmp_path, max_rows=10)
    assert ids(queue) == [f"p{n}" for n in range(15, 25)]
    assert (queue.counts().dropped, queue.counts().rows, queue.counts().oldest_us) == (15, 10, 15)
    small = queue_of(tmp_path, max_bytes=2000)
    small.put([entry(n, "x" * 500) for n in range(30, 36)])
    counts = small.counts()
    assert 0 < counts.bytes <= 2000 and ids(small)[-1] == "p35" and counts.dropped + counts.rows == 31
    rows = small.first(10, 10**9)
    assert counts.bytes == sum(len(row.body) for row in rows)


def test_a_row_that_was_dropped_while_it_was_sent_is_counted_once(tmp_path: Path) -> None:
    queue = queue_of(tmp_path, max_rows=2)
    queue.put([entry(0), entry(1)])
    on_their_way = queue.first(2, 10**9)
    queue.put([entry(2)])
    queue.done(on_their_way, "sent")
    counts = queue.counts()
    assert (counts.sent, counts.dropped, counts.rows, ids(queue)) == (1, 1, 1, ["p2"])


def test_a_broken_queue_is_set_aside(tmp_path: Path) -> None:
    queue = queue_of(tmp_path)
    queue.put([entry(n, "x" * 2000) for n in range(200)])
    queue.close()
    content = bytearray((tmp_path / "queue.sqlite").read_bytes())
    content[8192:-8192] = bytes(len(content) - 16384)
    (tmp_path / "queue.sqlite").write_bytes(content)
    queue.put([entry(500)])
    assert ids(queue) == ["p500"] and (tmp_path / "queue.sqlite.damaged").exists()


def test_s3_addresses_are_signed_as_the_reference_says() -> None:
    # "Authenticating Requests: Using Query Parameters", the S3 API reference's own example
    url = presigned(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "us-east-1",
        datetime(2013, 5, 24, tzinfo=UTC),
        within_s=86400,
    )
    assert url.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_s3_addresses_are_those_of_amazons_own_library(shelf: Path, site: Site) -> None:
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    url = "http://127.0.0.1:9000/models/edge%20units/prices/ledger/000001.json"
    request = AWSRequest("GET", url)
    S3SigV4QueryAuth(Credentials("KEY", "secret/+", "session=="), "s3", "eu-west-3", 3600).add_auth(request)
    moment = dict(part.split("=", 1) for part in request.url.split("?")[1].split("&"))["X-Amz-Date"]
    now = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = presigned(url, "KEY", "secret/+", "eu-west-3", now, session="session==")
    assert sorted(ours.split("?")[1].split("&")) == sorted(request.url.split("?")[1].split("&"))
    keys = {"AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": site.address}
    source = open_source("s3://prices/ledger", "", None, keys)
    assert b"".join(source.chunks("000001.json")) == (shelf / "prices/ledger/000001.json").read_bytes()
    with pytest.raises(InputError, match="AWS_ACCESS_KEY_ID"):
        open_source("s3://prices/ledger", "", None, {})
    with pytest.raises(InputError, match="found ftp"):
        open_source("ftp://prices/ledger", "", None, {})


@contextmanager
def running(tmp_path: Path, site: Site, key: SigningKey, *more: str) -> Iterator[tuple[str, Any]]:
    """A real agent on a free port, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "bento.edge", "--source", site.address, "--system", "prices"),
        *("--public-key", str(key.public_path), "--folder", str(tmp_path / "edge"), "--port", str(port)),
        *(
            "--upload",
            f"{site.address}/journal",
            "--device",
            "pump-7",
            "--every",
            "0.2",
            "--confirm-after",
            "3",
        ),
        *more,
    ]
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or status(f"{url}/readyz") == 200)
        yield url, process
    finally:
        process.kill()
        process.wait()


def status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def figures(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as reply:
        lines = [line for line in reply.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        call()
    return caught.value.code, json.loads(caught.value.read())["error"]


def test_a_device_answers_offline_and_sends_its_journal_later(
    tmp_path: Path, shelf: Path, key: SigningKey, site: Site
) -> None:
    with running(tmp_path, site, key) as (url, process):
        code, answer, headers = post(f"{url}/predict", ROW, {"X-Prediction-Id": "offer-1"})
        assert (code, answer["version"], answer["prediction_id"], answer["stale"]) == (
            200,
            "v1",
            "offer-1",
            False,
        )
        assert headers["X-Model-Age-Seconds"] == str(answer["model_age_s"]) and answer["model_age_s"] > 0
        assert "X-Journal" not in headers
        site.mode = "error"
        until(lambda: figures(url)['perennial_edge_pulls_total{outcome="unreachable"}'] > 0)
        answers = [post(f"{url}/predict", {"rows": [ROW, ROW]})[1] for _ in range(3)]
        assert all(a["contact_age_s"] is not None for a in answers)
        assert figures(url)["perennial_edge_queue_rows"] >= 6
        assert figures(url)["perennial_edge_contact_age_seconds"] > 0
        release_of(shelf, key, 2.0)
        site.mode = "up"
        until(lambda: post(f"{url}/predict", ROW)[1]["version"] == "v2")
        for _ in range(3):
            post(f"{url}/predict", ROW)
        assert json.loads(urllib.request.urlopen(f"{url}/readyz").read())["on_trial"] is False
        until(lambda: figures(url)["perennial_edge_queue_rows"] == 0)
        wanted = ["offer-1", *(p["prediction_id"] for a in answers for p in a["predictions"])]
        assert site.taken_once[: len(wanted)] == wanted
        assert json.loads(site.batches[0]["entries"][0]["inputs"]) == ROW
        assert refused(lambda: post(f"{url}/predict", {**ROW, "year": "x"})) == (400, "invalid_request")
        assert refused(lambda: post(f"{url}/predict", b"x" * (9 * 2**20))) == (413, "too_large")
        assert refused(lambda: post(f"{url}/predict", ROW, {"Content-Type": "text/csv"}))[0] == 415
        assert refused(lambda: post(f"{url}/metrics", ROW)) == (405, "method_not_allowed")
        assert status(f"{url}/nope") == 404 and status(f"{url}/livez") == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    site.mode = "error"
    with running(tmp_path, site, key, "--stale-after", "0") as (url, _):
        _, answer, _ = post(f"{url}/predict", ROW)
        assert (answer["version"], answer["stale"]) == ("v2", True)


def test_one_agent_a_folder_and_loopback_only(tmp_path: Path, key: SigningKey, site: Site) -> None:
    with running(tmp_path, site, key) as (_, _):
        command = [
            sys.executable,
            "-m",
            "bento.edge",
            "--source",
            site.address,
            "--system",
            "prices",
            "--once",
        ]
        command += ["--public-key", str(key.public_path), "--folder", str(tmp_path / "edge")]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert second.returncode == 1 and "expected no other agent" in second.stderr
    once = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (once.returncode, once.stdout) == (0, "current\n")
    remote = subprocess.run([*command, "--host", "0.0.0.0"], cwd=ROOT, capture_output=True, text=True)
    assert remote.returncode == 2 and "--allow-remote" in remote.stderr


def test_a_journal_that_cannot_be_written_does_not_stop_answers(
    tmp_path: Path, key: SigningKey, site: Site
) -> None:
    (tmp_path / "edge" / "prices" / "queue.sqlite").mkdir(parents=True)
    with running(tmp_path, site, key) as (url, _):
        code, _, headers = post(f"{url}/predict", ROW)
        assert (code, headers["X-Journal"]) == (200, "not written")
        assert figures(url)["perennial_edge_queue_lost_total"] == 1


def test_private_inputs_are_hidden_before_they_reach_the_disk(tmp_path: Path, key: SigningKey) -> None:
    shelf = tmp_path / "private"
    parts = releases.parts("prices", 1.0)
    contract = parts.contract.updated(lambda c: replace(c, privacy="hash") if c.name == "mileage" else c)
    folder = shelf / "prices" / "bundles"
    folder.mkdir(parents=True)
    releases.promote(shelf, key, build_bundle(replace(parts, contract=contract), folder, key, NOW))
    with serving(shelf) as site:
        site.mode = "up"
        with running(tmp_path, site, key) as (url, _):
            post(f"{url}/predict", {"rows": [{**ROW, "mileage": 34567.125}], "prediction_id": "hashed"})
            until(lambda: "hashed" in site.taken)
        (tmp_path / "edge" / "prices" / "hash.key").write_bytes(b"")
        with running(tmp_path, site, key) as (url, _):
            post(f"{url}/predict", {"rows": [{**ROW, "mileage": 34567.125}], "prediction_id": "masked"})
            until(lambda: "masked" in site.taken)
    sent = {
        one["prediction_id"]: json.loads(one["inputs"]) for batch in site.batches for one in batch["entries"]
    }
    hashed, masked = sent["hashed"], sent["masked"]
    assert hashed["mileage"].startswith("hmac:") and hashed["year"] == ROW["year"]
    assert masked["mileage"] == "***" and masked["year"] == ROW["year"]
    kept = b"".join(p.read_bytes() for p in (tmp_path / "edge" / "prices").glob("queue.sqlite*"))
    assert b"34567" not in kept and b"34567" not in (tmp_path / "log").read_bytes()


def test_the_agent_imports_no_more_than_its_layer() -> None:
    code = (
        "import sys, bento.edge.__main__, perennial.live.load, perennial.live.models, onnxruntime\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {
        "pandas",
        "sklearn",
        "scipy",
        "skops",
        "onnx",
        "pydantic",
        "click",
        "yaml",
        "sqlalchemy",
        "msgspec",
    }
    heavy |= {"zenml", "mlflow", "bentoml", "prometheus_client", "requests", "evidently"}
    assert not set(told.stdout.split()) & heavy
