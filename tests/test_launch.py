"""How the service begins without `run.py`: secrets from files, no open door, and one sentence for what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bento import health
from bento.guard import ROLES, variable
from bento.launch import SECRETS, with_absolute_paths, with_files
from bento.process import ROOT, free_port
from perennial.errors import InputError
from tests.edge_site import until

TOKEN = "0123456789abcdef" * 2


def said(tmp_path: Path, *command: str, **environment: str) -> str:
    """What a command says that ends with 2; it may not take longer than a start takes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**clean, "PERENNIAL_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_its_file(tmp_path: Path, name: str) -> None:
    assert {variable(role) for role in ROLES} < set(SECRETS)
    (tmp_path / "secret").write_text(f"{TOKEN}\n")
    given = {f"{name}_FILE": str(tmp_path / "secret"), "OTHER": "kept"}
    assert with_files(given) == {name: TOKEN, "OTHER": "kept"}
    assert with_files({name: TOKEN}) == {name: TOKEN}
    with pytest.raises(InputError, match=f"{name} or {name}_FILE, found both") as both:
        with_files({name: "another", **given})
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(InputError, match="found it empty"):
        with_files(given)
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not text"):
        with_files(given)
    (tmp_path / "secret").unlink()
    with pytest.raises(InputError, match="No such file"):
        with_files(given)
    assert "another" not in str(both.value)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PERENNIAL_HOST": "0.0.0.0"}, "expected a loopback address, found 0.0.0.0"),
        (
            {"PERENNIAL_PORT": "http"},
            "expected PERENNIAL_PORT to be a whole number from 1 to 65535, found 'http'",
        ),
        ({"PERENNIAL_WORKERS": "0"}, "expected PERENNIAL_WORKERS to be a whole number from 1"),
        ({"PERENNIAL_TOKEN_TRUTH": "short"}, "expected the token of truth to have 16 ASCII characters"),
        ({"PERENNIAL_TOKEN_ADMIN_FILE": "/none"}, "expected PERENNIAL_TOKEN_ADMIN_FILE to name a file"),
        (
            {"PERENNIAL_HOST": "192.0.2.1", "PERENNIAL_TOKEN_ADMIN": TOKEN},
            "expected an address and a port to listen on, found 192.0.2.1:3000 (Cannot assign requested address)",
        ),
        ({"PERENNIAL_JOURNAL": "mysql://host/db"}, "expected a journal in a file, at sqlite:///FILE or at"),
        ({"PERENNIAL_JOURNAL": "sqlite://"}, "expected a journal in a file, such as sqlite:///"),
        (
            {"PERENNIAL_JOURNAL": f"postgresql://me:{TOKEN}@host:port/db"},
            "expected a journal at postgresql://",
        ),
    ],
)
def test_a_wrong_environment_is_told_in_one_sentence(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    output = said(tmp_path, "bento", **environment)
    assert output.startswith(f"error: {sentence}") and output.count("\n") == 1 and TOKEN not in output


def test_paths_mean_what_they_meant_where_the_service_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"PERENNIAL_HOME": "state", "PERENNIAL_RELEASES": "/srv/releases", "OTHER": "kept"}
    expected = {**given, "PERENNIAL_HOME": str(tmp_path / "state")}
    assert with_absolute_paths(given) == expected
    for journal, meant in {
        "j.sqlite": str(tmp_path / "j.sqlite"),
        "sqlite:///j.sqlite": f"sqlite:///{tmp_path / 'j.sqlite'}",
        "sqlite:////srv/j.sqlite": "sqlite:////srv/j.sqlite",
        "postgresql://host/db": "postgresql://host/db",
        "off": "off",
    }.items():
        assert with_absolute_paths({"PERENNIAL_JOURNAL": journal}) == {"PERENNIAL_JOURNAL": meant}


def test_health_asks_where_the_service_listens(tmp_path: Path) -> None:
    port = free_port("127.0.0.7")
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.7", str(port)]
    (tmp_path / "livez").write_text("")
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        asked = {"PERENNIAL_PORT": str(port)}
        until(lambda: health.main({**asked, "PERENNIAL_HOST": "127.0.0.7"}) == 0)
        assert health.main(asked) == health.main({**asked, "PERENNIAL_HOST": "0.0.0.0"}) == 1
        server.terminate()


def test_bentoml_serve_itself_ends_at_a_token_that_is_none(tmp_path: Path) -> None:
    command = (
        "bentoml",
        "serve",
        "bento.service:Predictor",
        "--host",
        "127.0.0.1",
        "--port",
        str(free_port()),
    )
    output = said(tmp_path, *command, PERENNIAL_TOKEN_PREDICT="short")
    assert output == (
        "error: expected the token of predict to have 16 ASCII characters or more without blanks, found another; "
        "make one with `openssl rand -hex 32`\n"
    )
