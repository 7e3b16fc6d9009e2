"""The three images, built and run: one trains, one serves what was trained, one is a device that pulls it."""

from __future__ import annotations

import json
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from bento.process import ROOT, free_port
from tests import docker_host
from tests.docker_host import Docker

IMAGES = ("serve", "edge", "pipeline")
SHUT = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
STATE = "/var/lib/perennial"
TOKENS = {role: secrets.token_hex(16) for role in ("predict", "admin")}
ROW = {f"feature_{number:02d}": 0.5 for number in range(1, 21)}

pytestmark = [pytest.mark.torture, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Built:
    """The images of a run, the folder that all containers share, and the names of what must be removed."""

    docker: Docker
    folder: Path
    prefix: str

    def image(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def volume(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def mounted(self, name: str, more: str = "") -> tuple[str, str]:
        """A state volume of one container, and over it the releases that all share."""
        return (
            f"--volume={self.volume(name)}:{STATE}",
            f"--volume={self.volume('releases')}:{STATE}/releases{more}",
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("images")
    with docker_host.running() as docker:
        made = Built(docker, folder, f"perennial-test-{os.getpid()}")
        base = docker_host.base_image(docker, folder)
        given = docker_host.build_secrets(folder)
        try:
            for name in IMAGES:
                started = time.monotonic()
                docker.build(ROOT / "ops" / "docker" / f"{name}.Dockerfile", made.image(name), base, given)
                size = docker.inspected(made.image(name))["Size"] / 1e6
                print(f"{name}: {size:,.0f} MB over {base}, built in {time.monotonic() - started:.0f} s")
            train(made)
            yield made
        finally:
            for container in docker("ps", "--all", "--quiet", f"--filter=name={made.prefix}").split():
                docker("rm", "--force", container)
            for volume in docker("volume", "ls", "--quiet", f"--filter=name={made.prefix}").split():
                docker("volume", "rm", volume)
            for name in IMAGES:
                docker.works("image", "rm", made.image(name))


def train(built: Built) -> None:
    """Trains `synthetic` in the pipeline's container, and takes the public key out, as docs/deploying.md says."""
    run = ("run", "--rm", f"--name={built.prefix}-train", *SHUT, *built.mounted("state"))
    said = built.docker(
        *run, built.image("pipeline"), "train", "--config", "configs/synthetic.yaml", within_s=400
    )
    assert "promoted" in said, said
    key = built.docker(*run, "--entrypoint=cat", built.image("pipeline"), f"{STATE}/keys/signing_key.pub.pem")
    (built.folder / "key.pem").write_text(key)


def key_of(built: Built) -> str:
    return f"--volume={built.folder / 'key.pem'}:/run/secrets/public_key:ro"


def healthy(docker: Docker, container: str, within_s: float = 90.0) -> None:
    """Returns once the image's own health check is content."""
    end = time.monotonic() + within_s
    while (state := docker.inspected(container)["State"])["Health"]["Status"] != "healthy":
        assert state["Running"] and time.monotonic() < end, docker("logs", container)
        time.sleep(0.5)


def ask(port: int, path: str, body: Any = None, token: str = "") -> tuple[int, Any, Message]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read()), answer.headers
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read()), refusal.headers


def test_nothing_of_this_machine_and_no_model_is_inside(built: Built) -> None:
    for name in IMAGES:
        image = built.docker.inspected(built.image(name))
        assert image["Config"]["User"] == "10001"
        told = built.docker("history", "--no-trunc", built.image(name)) + json.dumps(image)
        assert "global.index-url" not in told and str(built.folder) not in told
        look = "id -u; find /app /var/lib/perennial /etc/pip.conf /run/secrets -not -name '*.py*' -type f; ls -A /app"
        user, *files = built.docker(
            "run", "--rm", "--entrypoint=sh", built.image(name), "-c", f"{look} 2>/dev/null || true"
        ).split()
        assert user == "10001"
        assert not [
            file for file in files if file.endswith((".onnx", ".pem", ".skops", "pip.conf", ".sqlite"))
        ]
        assert not {"tests", ".git", ".perennial", "requirements"} & set(files)


def test_the_service_answers_from_a_mounted_release_on_a_read_only_root(built: Built) -> None:
    docker, name, port = built.docker, f"{built.prefix}-serve-1", free_port()
    for role, token in TOKENS.items():
        (built.folder / f"{role}_token").write_text(f"{token}\n")
    tokens = [
        option
        for role in TOKENS
        for option in (
            f"--volume={built.folder}/{role}_token:/run/secrets/{role}_token:ro",
            f"--env=PERENNIAL_TOKEN_{role.upper()}_FILE=/run/secrets/{role}_token",
        )
    ]
    named = ("--env=PERENNIAL_SYSTEM=synthetic", "--env=PERENNIAL_PUBLIC_KEY=/run/secrets/public_key")
    mounts = (*built.mounted("serve", ":ro"), key_of(built))
    run = ("run", "--detach", f"--name={name}", f"--publish=127.0.0.1:{port}:3000", *SHUT)
    docker(*run, *mounts, *named, *tokens, built.image("serve"))
    healthy(docker, name)
    status, answer, headers = ask(port, "/predict", {"rows": [ROW]}, TOKENS["predict"])
    assert (status, answer["version"]) == (200, "v1"), answer
    assert headers["X-Journal"] == "written"
    assert ask(port, "/predict", {"rows": [ROW]})[0] == 401
    told = json.dumps(docker.inspected(name)) + docker("logs", name)
    assert not any(token in told for token in TOKENS.values())
    started = time.monotonic()
    docker("stop", "--time=30", name)
    print(f"serve: stopped in {time.monotonic() - started:.1f} s")
    assert docker.inspected(name)["State"]["ExitCode"] == 0, docker("logs", name)


def test_the_service_does_not_open_its_door_without_tokens(built: Built) -> None:
    said = built.docker("run", "--rm", *SHUT, built.image("serve"), code=2)
    assert "error: expected a loopback address, found 0.0.0.0" in said and "Traceback" not in said


def test_a_device_pulls_the_release_and_answers(built: Built) -> None:
    docker, name, port = built.docker, f"{built.prefix}-edge-1", free_port()
    run = ("run", "--detach", f"--name={name}", f"--publish=127.0.0.1:{port}:3100", *SHUT)
    told = (
        "--source",
        f"{STATE}/releases",
        "--system",
        "synthetic",
        "--public-key",
        "/run/secrets/public_key",
    )
    open_here = ("--host", "0.0.0.0", "--allow-remote")
    docker(*run, *built.mounted("edge", ":ro"), key_of(built), built.image("edge"), *told, *open_here)
    healthy(docker, name)
    end = time.monotonic() + 60
    while (reply := ask(port, "/predict", {"rows": [ROW]}))[0] == 503 and time.monotonic() < end:
        time.sleep(0.2)
    assert (reply[0], reply[1]["version"]) == (200, "v1"), reply
    docker("stop", "--time=30", name)
    assert docker.inspected(name)["State"]["ExitCode"] == 0, docker("logs", name)
