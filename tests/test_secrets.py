"""No secret is in the repository: every file that git has, or would take, is read; each kind is planted as proof."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.secrets_scan import PATTERNS, VALUES, Found, found_in

ROOT = Path(__file__).resolve().parent.parent
LARGEST_BYTES = 2_000_000
LETTERS = "Q7rTz2LmX9cVb4NwK8sJd5HfG3yPa6Ue1RtYiOoB"
"""Looks random, and opens nothing; it is joined to what makes it a secret only while a test runs."""


def texts(root: Path) -> dict[str, str]:
    """The text files that git tracks, or would with the next `git add`, by name."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    made = {}
    for name in listed.stdout.decode().split("\0"):
        path = root / name
        if not name or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            made[name] = content.decode("utf-8", "replace")
    return made


def scan(root: Path) -> list[str]:
    """A line for every secret that is found."""
    return [
        f"{name}:{found.line}: {found.what}" for name, text in texts(root).items() for found in found_in(text)
    ]


def test_the_repository_holds_no_secret() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git here: this is no checkout")
    assert len(texts(ROOT)) > 200
    assert scan(ROOT) == []


def private_key() -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ed25519.Ed25519PrivateKey.generate().private_bytes(*form).decode()


PLANTED = {
    "a private key": private_key,
    "an AWS access key": lambda: "AKIA" + "ABCDEFGHIJ234567",
    "a GitHub token": lambda: f"ghp_{LETTERS[:36]}",
    "a GitLab token": lambda: f"glpat-{LETTERS[:20]}",
    "a Slack token": lambda: f"xoxb-{LETTERS[:24]}",
    "a Slack web hook": lambda: "https://hooks.slack.com/services/" + f"T01ABC/B01ABC/{LETTERS[:24]}",
    "a Google API key": lambda: f"AIza{LETTERS[:35]}",
    "a Stripe key": lambda: f"sk_live_{LETTERS[:24]}",
    "a JSON web token": lambda: ".".join((f"eyJ{LETTERS[:12]}", f"eyJ{LETTERS[:20]}", LETTERS)),
    "a password in an address": lambda: "postgresql://journal:" + f"{LETTERS[:12]}@db.example/journal",
    "a random-looking value under a secret's name": lambda: f'smtp_password: "{LETTERS[:24]}"',
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_secret_is_found_before_it_is_committed(tmp_path: Path, what: str) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "harmless.md").write_text("The password is asked for at the door.\n")
    assert scan(tmp_path) == []
    (tmp_path / "notes.yaml").write_text(f"first: line\nsecond: {PLANTED[what]()}\n")
    assert f"notes.yaml:2: {what}" in scan(tmp_path)
    assert LETTERS[:12] not in "".join(scan(tmp_path))


@pytest.mark.parametrize(
    "line",
    [
        "api_key: env:ZENML_API_KEY",
        "token = tokens_in({**os.environ, **environment}).get('admin')",
        "PERENNIAL_TOKEN_PREDICT_FILE: /run/secrets/predict_token",
        "postgresql://journal:${POSTGRES_PASSWORD}@postgres/journal",
        "password = prompt_for_password_of_the_user2",
        "token: aaaaaaaaaaaaaaaaaaaaaaaa1",
        "postgresql://user:not-asked-for@host/database",
    ],
)
def test_what_only_names_a_secret_is_none(line: str) -> None:
    assert list(found_in(line)) == []


def test_every_kind_that_is_looked_for_was_planted() -> None:
    assert {*PATTERNS, *VALUES} == set(PLANTED)
    assert next(found_in("x\n" + PLANTED["a Slack token"]())) == Found(2, "a Slack token")
