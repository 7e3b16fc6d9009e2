"""Tokens: every route but /livez asks who is there, a role opens its own routes alone, and no secret is told."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from releases import build, promote

from bento.asked import Refused
from bento.guard import OF_ROLE, OPEN, ROLES, Guard, tokens_in, variable
from bento.pages import METHODS
from bento.process import Serving, free_port, service_environment, started
from perennial.errors import InputError
from perennial.live.sign import key_pair
from tests.project import Project

TOKENS = {role: f"{role}-{'0123456789abcdef' * 2}" for role in ROLES}
BODIES = {
    "/predict": {"year": 2015, "mileage": 40_000, "fuel": "Petrol", "serviced": True, "tax": None},
    "/truth": [{"prediction_id": "unknown", "truth": 1.0}],
    "/journal": {"device": "d", "system": "prices", "entries": []},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("guard")
    key = key_pair(folder / "keys")
    promote(folder / "releases", key, build(folder / "releases", key, "prices", 1.0))
    environment = service_environment(folder / "releases", "prices", key.public_path)
    named = {variable(role): token for role, token in TOKENS.items()}
    with started({**environment, **named}, free_port()) as serving:
        yield serving


def ask(served: Serving, path: str, authorization: str | None) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=30)
    headers = {"Content-Type": "application/json"} | (
        {"Authorization": authorization} if authorization else {}
    )
    method = METHODS.get(path, ("GET",))[0]
    body = json.dumps(BODIES[path]) if path in BODIES else None
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.headers), answer.read().decode()


@pytest.mark.parametrize("path", [*sorted(METHODS), "/nowhere"])
def test_a_route_opens_to_its_role_alone(served: Serving, path: str) -> None:
    wrong = (None, "Bearer", "Bearer wrong", f"Basic {TOKENS['admin']}", f"Bearer {TOKENS['admin']}x")
    for authorization in wrong:
        status, headers, text = ask(served, path, authorization)
        if path in OPEN:
            assert status == 200
        else:
            assert (status, headers["www-authenticate"], json.loads(text)["error"]) == (
                401,
                "Bearer",
                "unauthorized",
            )
    for role, token in TOKENS.items():
        status, _, text = ask(served, path, f"bearer {token}")
        is_allowed = path in OPEN or OF_ROLE.get(path, role) == role or role == "admin"
        assert status == ((404 if path == "/nowhere" else 200) if is_allowed else 403), (role, text)
        assert token not in text


def test_no_secret_is_in_the_log(served: Serving) -> None:
    ask(served, "/predict", f"Bearer {TOKENS['truth']}")
    log = served.log.read_text()
    assert not any(token in log for token in TOKENS.values())


@pytest.mark.parametrize("token", ["short", "with a blank in the middle", "ä" * 20])
def test_a_secret_that_is_none_is_refused_without_being_told(token: str) -> None:
    with pytest.raises(InputError, match="16 ASCII characters") as error:
        Guard({"predict": token})
    assert token not in str(error.value)
    with pytest.raises(InputError, match="of its own for every role"):
        Guard({"predict": TOKENS["predict"], "admin": TOKENS["predict"]})


def test_without_tokens_all_are_let_in_and_with_one_alone_others_are_shut() -> None:
    Guard(tokens_in({})).check("/predict", {})
    only = Guard(tokens_in({variable("predict"): TOKENS["predict"]}))
    given = {b"authorization": f"Bearer {TOKENS['predict']}".encode()}
    only.check("/predict", given)
    only.check("/readyz", given)
    for path in ("/truth", "/metrics"):
        with pytest.raises(Refused) as refused:
            only.check(path, given)
        assert refused.value.status == 403


@pytest.mark.slow
def test_serve_listens_to_others_only_with_tokens(tmp_path: Path) -> None:
    project = Project(tmp_path)
    options = ("serve", "--config", "configs/used_cars.yaml", "--host", "0.0.0.0")
    assert "name tokens in serve.tokens" in project.run(*options, code=2)
    named = ("--set", "serve.tokens.predict=env:PERENNIAL_NO_SUCH_TOKEN")
    assert "PERENNIAL_NO_SUCH_TOKEN to hold a secret" in project.run(*options, *named, code=2)
