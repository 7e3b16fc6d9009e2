"""Docker for the tests of the images: the daemon that runs, or one of their own in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
USUAL_BASE, OWN_BASE = "python:3.11-slim", "perennial-test-base"
PACKAGES = "python3.11,python3.11-venv,python3-pip,python-is-python3,ca-certificates"


@dataclass(frozen=True)
class Docker:
    """A client that can build with secrets, and the daemon that it asks."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, code: int = 0, within_s: float = 120.0) -> str:
        """What a command prints, on both streams where it fails; it must end with `code`."""
        done = subprocess.run(
            [self.program, *arguments],
            env={**os.environ, **self.environment, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == code, (
            f"docker {' '.join(arguments)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        return done.stdout if code == 0 else done.stdout + done.stderr

    def answers(self) -> bool:
        """Whether a daemon listens."""
        return self.works("info")

    def works(self, *arguments: str) -> bool:
        """Whether a command ends well within a minute."""
        environment = {**os.environ, **self.environment}
        try:
            ended = subprocess.run(
                [self.program, *arguments], env=environment, capture_output=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return ended.returncode == 0

    def inspected(self, name: str) -> Any:
        """What Docker knows of an image, a container or a volume."""
        return json.loads(self("inspect", name))[0]

    def build(self, dockerfile: Path, tag: str, base: str, secrets: Mapping[str, Path]) -> None:
        """Builds an image of the checkout; packages come over this machine's own network."""
        given = [f"--secret=id={name},src={path}" for name, path in secrets.items()]
        options = ("--network=host", f"--build-arg=BASE={base}", f"--file={dockerfile}", f"--tag={tag}")
        self("build", "--quiet", *options, *given, str(ROOT), within_s=700)


def client() -> str | None:
    """The first program that can build with secrets: older than 23, or with the plugin buildx."""
    for program in (shutil.which("docker"), "/usr/bin/docker"):
        if program and Path(program).exists():
            version = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=False
            ).stdout
            major = re.search(r"version (\d+)", version)
            if (major and int(major[1]) < 23) or Docker(program).works("buildx", "version"):
                return program
    return None


@contextmanager
def running() -> Iterator[Docker]:
    """A Docker that works; skips the test where there is none, and none can be started."""
    program = client()
    if program is None:
        pytest.skip("no docker that can build with secrets is installed")
    if Docker(program).answers():
        yield Docker(program)
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("no Docker daemon runs, and none can be started here")
    with (
        tempfile.TemporaryDirectory(prefix="docker", dir="/tmp") as folder,
        own_daemon(program, Path(folder)) as made,
    ):
        yield made


@contextmanager
def own_daemon(program: str, folder: Path) -> Iterator[Docker]:
    """A daemon that keeps everything in a folder, and is stopped at the end."""
    socket = f"unix://{folder}/socket"
    made = Docker(program, {"DOCKER_HOST": socket})
    places = (f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid")
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--host", socket, *places], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + 60
        while not made.answers():
            if daemon.poll() is not None or time.monotonic() > end:
                pytest.skip(f"dockerd does not start: {(folder / 'log').read_text(errors='replace')[-500:]}")
            time.sleep(0.5)
        yield made
    finally:
        daemon.terminate()
        daemon.wait(60)


def base_image(docker: Docker, folder: Path) -> str:
    """The base of all images: the usual one, or Debian bootstrapped where the registry is out of reach."""
    if docker.works("image", "inspect", USUAL_BASE) or docker.works("pull", USUAL_BASE):
        return USUAL_BASE
    if docker.works("image", "inspect", OWN_BASE):
        return OWN_BASE
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        pytest.skip(f"{USUAL_BASE} cannot be pulled, and there is no debootstrap to make another base")
    tree = folder / "base"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(tree)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if made.returncode:
        pytest.skip(f"debootstrap makes no base: {(made.stdout + made.stderr)[-300:]}")
    packed = folder / "base.tar"
    subprocess.run(
        ["tar", "-C", str(tree), "--exclude=./var/cache/apt/*", "-cf", str(packed), "."], check=True
    )
    docker("import", str(packed), OWN_BASE)
    shutil.rmtree(tree)
    packed.unlink()
    return OWN_BASE


def build_secrets(folder: Path) -> dict[str, Path]:
    """What pip needs of this machine to reach its registry: an address, where one is set, and certificates."""
    trusted = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
    asked = subprocess.run(
        ["pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    lines = ["[global]", *([f"index-url = {asked.stdout.strip()}"] if asked.returncode == 0 else [])]
    made = {"pip": folder / "pip.conf"}
    if trusted and Path(trusted).exists():
        lines.append("cert = /run/secrets/ca")
        made["ca"] = Path(trusted)
    made["pip"].write_text("\n".join([*lines, ""]))
    made["pip"].chmod(0o600)
    return made
