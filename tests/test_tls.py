"""TLS by flags: the pair is checked before anything starts, the answer is verified, and plain HTTP gets none."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509

from bento import tls
from bento.health import lives
from bento.process import ROOT, free_port, stop
from commands.serve import cli as serve
from perennial.errors import InputError
from perennial.home import Home
from perennial.live.sign import PUBLIC, key_pair
from tests import certificates
from tests.edge_site import until
from tests.releases import build, promote

CONFIG = str(ROOT / "configs" / "synthetic.yaml")
ROW = {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None}
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A state folder where a small model stands in for `synthetic`."""
    made = Home(tmp_path_factory.mktemp("home"))
    key = key_pair(made.keys)
    promote(made.releases, key, build(made.releases, key, "prices", 1.0, "synthetic"))
    return made


@contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, stopped with all its workers at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        stop(process)


def asked(port: int, path: str, trusted: Path, body: Any = None) -> tuple[int, Any]:
    """Status and JSON answer over TLS, from a server whose certificate and name are verified."""
    context = ssl.create_default_context(cafile=str(trusted))
    request = urllib.request.Request(
        f"https://127.0.0.1:{port}{path}",
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        return answer.status, json.loads(answer.read())


def is_ready(process: subprocess.Popen[bytes], port: int, trusted: Path, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text())
    try:
        return asked(port, "/readyz", trusted)[0] == 200
    except urllib.error.URLError as error:
        assert not isinstance(error.reason, ssl.SSLError), error
        return False
    except ConnectionError:
        return False


def check_speaks_tls_alone(port: int, files: certificates.Files, other: Path) -> None:
    status, answer = asked(port, "/predict", files.authority, {"rows": [ROW]})
    assert status == 200 and len(answer["predictions"]) == 1
    with pytest.raises((http.client.HTTPException, OSError)):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=10)
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        asked(port, "/livez", other)
    assert lives(port)


def check_hands_out_what_is_renewed(port: int, files: certificates.Files, folder: Path) -> None:
    certificates.put(certificates.made(folder, "renewed"), files.certificate, files.key)

    def is_renewed() -> bool:
        assert asked(port, "/readyz", files.authority)[0] == 200
        text = ssl.get_server_certificate(("127.0.0.1", port))
        found = x509.load_pem_x509_certificate(text.encode()).serial_number
        return found == certificates.serial(files.certificate)

    until(is_renewed, 20)


def foreign_authority(folder: Path) -> Path:
    """A certificate that did not sign the server's."""
    return certificates.made(folder, "foreign").certificate


def test_the_service_answers_over_tls_and_not_without(home: Home, tmp_path: Path) -> None:
    files, port, log = certificates.made(tmp_path), free_port(), tmp_path / "log"
    pair = ("--tls-certificate", str(files.certificate), "--tls-key", str(files.key))
    command = ["run.py", "serve", "--config", CONFIG, "--port", str(port), *pair]
    with running(command, log, PERENNIAL_HOME=str(home.root)) as process:
        until(lambda: is_ready(process, port, files.authority, log), 60)
        assert f"at https://127.0.0.1:{port} with 1 worker" in log.read_text()
        check_speaks_tls_alone(port, files, foreign_authority(tmp_path))
        check_hands_out_what_is_renewed(port, files, tmp_path)
    assert not lives(port)


def test_the_agent_answers_over_tls_and_not_without(home: Home, tmp_path: Path) -> None:
    files, port, log = certificates.made(tmp_path), free_port(), tmp_path / "log"
    pair = ("--tls-certificate", str(files.certificate), "--tls-key", str(files.key))
    command = ["-m", "bento.edge", "--source", str(home.releases), "--system", "synthetic", *pair]
    own = ("--public-key", str(home.keys / PUBLIC), "--folder", str(tmp_path), "--port", str(port))
    with running([*command, *own], log) as process:
        until(lambda: is_ready(process, port, files.authority, log), 30)
        until(lambda: asked(port, "/readyz", files.authority)[1]["version"] == "v1")
        check_speaks_tls_alone(port, files, foreign_authority(tmp_path))
        check_hands_out_what_is_renewed(port, files, tmp_path)


def wrong_pairs(folder: Path) -> list[tuple[Path | None, Path | None, str]]:
    """Certificates and keys that no server must start with, and what is said of each."""
    good, other = certificates.made(folder), certificates.made(folder, "other")
    past = certificates.made(folder, "past", NOW - timedelta(days=9), 2)
    future = certificates.made(folder, "future", NOW + timedelta(days=1))
    secret = certificates.made(folder, "secret")
    certificates.locked(secret.key)
    text = folder / "text"
    text.write_text("no certificate")
    return [
        (good.certificate, None, "found a certificate alone; name the key too"),
        (None, good.key, "found a key alone; name the certificate too"),
        (folder / "none.pem", good.key, r"certificate in .*none.pem, found none \(No such file"),
        (good.certificate, folder / "none.pem", r"key in .*none.pem, found none \(No such file"),
        (good.certificate, folder, r"found none \(Is a directory\)"),
        (text, good.key, "certificate in PEM in .*text, found something else"),
        (good.certificate, text, "found none that can be read"),
        (good.certificate, other.key, "found the key of another"),
        (secret.certificate, secret.key, "found one with a password"),
        (past.certificate, past.key, f"expired on {NOW - timedelta(days=7):%Y-%m-%d}"),
        (future.certificate, future.key, "begins on .* check this machine's clock"),
    ]


def test_a_wrong_pair_is_told_in_one_sentence(tmp_path: Path) -> None:
    for certificate, key, sentence in wrong_pairs(tmp_path):
        with pytest.raises(InputError, match=sentence) as caught:
            tls.checked(certificate, key, NOW)
        assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    good = certificates.made(tmp_path)
    assert tls.checked(good.certificate, good.key, NOW) == tls.Pair(good.certificate, good.key)
    assert tls.checked(None, "", NOW) is None


def test_every_server_checks_the_pair_before_it_starts(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = certificates.made(tmp_path, "past", NOW - timedelta(days=9), 2)
    monkeypatch.setenv("PERENNIAL_HOME", str(home.root))
    keys = (f"serve.tls_certificate={past.certificate}", f"serve.tls_key={past.key}")
    with pytest.raises(InputError, match="expired on"):
        CliRunner().invoke(
            serve, ["--config", CONFIG, "--set", keys[0], "--set", keys[1]], catch_exceptions=False
        )
    agent = ["-m", "bento.edge", "--source", ".", "--system", "s", "--public-key", "k"]
    flags = ["--tls-certificate", str(past.certificate), "--tls-key", str(past.key)]
    named = {"PERENNIAL_TLS_CERTIFICATE": str(past.certificate), "PERENNIAL_TLS_KEY": str(past.key)}
    for command, environment in (([*agent, *flags], {}), (["-m", "bento"], named)):
        ended = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2, ended.stderr
        assert (
            ended.stderr.startswith("error: expected a valid TLS certificate")
            and ended.stderr.count("\n") == 1
        )
