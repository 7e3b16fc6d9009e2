"""What Dockerfiles, the compose file and the audit promise, read from their text; `test_images.py` builds them."""

from __future__ import annotations

import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from bento.edge.__main__ import parser as edge_options
from bento.launch import SECRETS
from ops.queries import EDGE_JOB, SERVICE_JOB
from tests.secrets_scan import found_in

ROOT = Path(__file__).resolve().parent.parent
OPS = ROOT / "ops"
LOCKS = {"serve": "requirements/serve.txt", "edge": "requirements/edge.txt", "pipeline": "requirements.txt"}
FORECAST_LOCK = "requirements/edge-forecast.txt"
PORTS = {"serve": "3000", "edge": "3100"}
CODE = {
    "bento",
    "commands",
    "configs",
    "dashboard",
    "demo",
    "materializers",
    "perennial",
    "pipelines",
    "run.py",
    "steps",
}
FROM_OUTSIDE = {"journal", "prometheus"}


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order, with continued lines joined and comments left out."""
    text = (OPS / "docker" / f"{name}.Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined if line)]


def arguments(name: str, word: str) -> list[str]:
    return [rest for found, rest in instructions(name) if found == word]


@pytest.mark.parametrize("name", LOCKS)
def test_an_image_is_made_from_its_lock_by_hash_and_runs_as_nobody_special(name: str) -> None:
    assert arguments(name, "ARG") == ["BASE=python:3.11-slim", *(["LAYER=edge"] if name == "edge" else [])]
    assert arguments(name, "FROM") == ["${BASE} AS made", "${BASE}"]
    installs = [rest for rest in arguments(name, "RUN") if "pip install" in rest]
    assert len(installs) == 1 and "--require-hashes -r /requirements.txt" in installs[0]
    assert arguments(name, "COPY")[0].replace("${LAYER}", "edge") == f"{LOCKS[name]} /requirements.txt"
    assert "--hash=sha256:" in (ROOT / LOCKS[name]).read_text(encoding="utf-8")
    words = [word for word, _ in instructions(name)]
    assert arguments(name, "USER") == ["10001"] and words.index("USER") < words.index("ENTRYPOINT")
    assert not {"ADD", "RUN"} & set(words[words.index("USER") :])
    assert arguments(name, "VOLUME") == ["/var/lib/perennial"]
    assert "PERENNIAL_HOME=/var/lib/perennial" in arguments(name, "ENV")[0]


@pytest.mark.parametrize("name", LOCKS)
def test_an_image_takes_code_and_no_model_key_or_token(name: str) -> None:
    copied = [rest.split()[0] for rest in arguments(name, "COPY")[1:] if not rest.startswith("--from=made")]
    assert set(copied) == ({"."} if name == "pipeline" else {"bento", "perennial"})
    text = (OPS / "docker" / f"{name}.Dockerfile").read_text(encoding="utf-8")
    assert list(found_in(text)) == []
    assert not re.search(r"(?i)(ARG|ENV)\s.*(token|password|secret)", text)


@pytest.mark.parametrize("name", PORTS)
def test_a_server_says_by_itself_whether_it_lives(name: str) -> None:
    assert arguments(name, "EXPOSE") == [PORTS[name]]
    assert f"PERENNIAL_PORT={PORTS[name]}" in arguments(name, "ENV")[0]
    (check,) = arguments(name, "HEALTHCHECK")
    assert check.endswith('CMD ["python", "-m", "bento.health"]')
    assert arguments("pipeline", "HEALTHCHECK") == ["NONE"]
    assert edge_options().get_default("port") == int(PORTS["edge"])


def reaches_docker(path: str) -> bool:
    """Whether a file of the checkout is sent to the daemon: the last line of .dockerignore that fits decides."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    is_sent = True
    for line in lines:
        pattern = line.removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        parts = Path(path).parts
        above = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        fits = (
            any(fnmatch(part, pattern.removeprefix("**/")) for part in parts)
            if pattern.startswith("**/")
            else any(fnmatch(folder, pattern) for folder in above)
        )
        if fits:
            is_sent = line.startswith("!")
    return is_sent


def test_docker_is_sent_the_code_alone() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not tracked:
        pytest.skip("no git here: this is no checkout")
    sent = {path.split("/")[0] for path in tracked if reaches_docker(path)}
    assert sent == CODE | {"requirements", "requirements.txt"}
    for kept in (
        *(".perennial/releases/s/bundles/v1/model.onnx", ".git/config", "tests/conftest.py", ".env"),
        *("perennial/.perennial/keys/signing_key.pem", "configs/server.key", "bento/__pycache__/app.pyc"),
        *("ops/secrets/admin_token", ".venv/bin/python", "configs/.env.local"),
    ):
        assert not reaches_docker(kept), kept


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((OPS / "compose.yaml").read_text(encoding="utf-8"))


def test_compose_runs_our_images_shut_and_publishes_on_loopback_alone(compose: Any) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            host, outside, inside = port.split(":")
            assert host == "127.0.0.1" and outside == inside
            assert name not in PORTS or inside == PORTS[name]
        if name in FROM_OUTSIDE:
            assert re.search(r":v?\d", service["image"]), "an image without a version changes by itself"
        else:
            assert (OPS / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert service["image"] == f"perennial/{name}"
            assert service["build"]["dockerfile"] == f"ops/docker/{name}.Dockerfile"
        assert "user" not in service and "privileged" not in service
        assert name == "journal" or (service["read_only"] and service["cap_drop"] == ["ALL"])


def test_compose_names_every_secret_and_holds_none(compose: Any) -> None:
    text = (OPS / "compose.yaml").read_text(encoding="utf-8")
    assert list(found_in(text)) == []
    used = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    assert all(
        told["file"].startswith("${PERENNIAL_SECRETS:-./secrets}/") for told in compose["secrets"].values()
    )
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "ops/secrets/" in ignored
    for service in compose["services"].values():
        mounted = {f"/run/secrets/{name}" for name in service.get("secrets", [])}
        words = [*service.get("environment", {}).values(), *map(str, service.get("command", []))]
        assert {word for word in words if word.startswith("/run/secrets/")} <= mounted
        for name, value in service.get("environment", {}).items():
            assert not re.search("TOKEN|PASSWORD|JOURNAL", name) or (
                name.endswith("_FILE") and value in mounted
            )
    told = {name for name in compose["services"]["serve"]["environment"] if name.endswith("_FILE")}
    assert told == {f"{name}_FILE" for name in SECRETS}


def test_only_the_pipeline_may_write_releases_and_none_mounts_the_signing_key(compose: Any) -> None:
    volumes = {name: service.get("volumes", []) for name, service in compose["services"].items()}
    writers = {
        name for name, told in volumes.items() for v in told if v.startswith("releases:") and v[-3:] != ":ro"
    }
    states = {name for name, told in volumes.items() for v in told if v.startswith("state:")}
    assert writers == states == {"pipeline"}
    assert {v.split(":")[0] for told in volumes.values() for v in told} - {"./prometheus"} == set(
        compose["volumes"]
    )
    edge_options().parse_args(
        [word.replace("${PERENNIAL_SYSTEM:-synthetic}", "s") for word in command(compose)]
    )


def command(compose: Any) -> list[str]:
    return [str(word) for word in compose["services"]["edge"]["command"]]


def test_prometheus_asks_the_services_of_compose(compose: Any) -> None:
    asked = yaml.safe_load((OPS / "prometheus" / "compose.yml").read_text(encoding="utf-8"))
    jobs = {job["job_name"]: job for job in asked["scrape_configs"]}
    assert {name: job["static_configs"][0]["targets"] for name, job in jobs.items()} == {
        SERVICE_JOB: [f"serve:{PORTS['serve']}"],
        EDGE_JOB: [f"edge:{PORTS['edge']}"],
    }
    token = jobs[SERVICE_JOB]["authorization"]["credentials_file"]
    assert Path(token).name in compose["services"]["prometheus"]["secrets"]
    assert all((OPS / "prometheus" / name).is_file() for name in asked["rule_files"])


def test_compose_itself_reads_the_file(tmp_path: Path) -> None:
    text = (OPS / "compose.yaml").read_text(encoding="utf-8")
    if (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        compose = ["docker", "compose"]
    elif shutil.which("docker-compose"):
        # Debian's Compose 1.29 reads all of it but the project's name.
        compose, text = ["docker-compose"], text.replace("\nname: perennial\n", "\n")
    else:
        pytest.skip("no docker compose is installed")
    file = tmp_path / "compose.yaml"
    file.write_text(text, encoding="utf-8")
    checked = [*compose, "-f", str(file), "--profile", "job", "config", "--quiet"]
    read = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


def test_every_lock_is_audited_each_week_and_when_it_changes() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "audit.yml").read_text(encoding="utf-8"))
    begins = workflow[True]  # YAML 1.1 reads the key `on` as a truth value
    assert begins["schedule"] and workflow["permissions"] == {"contents": "read"}
    assert begins["push"]["paths"] == begins["pull_request"]["paths"]
    locks = {*LOCKS.values(), FORECAST_LOCK}
    assert all(any(fnmatch(lock, path) for path in begins["push"]["paths"]) for lock in locks)
    job = workflow["jobs"]["audit"]
    assert set(job["strategy"]["matrix"]["lock"]) == locks
    run = next(step["run"] for step in job["steps"] if step.get("run", "").startswith("pip-audit"))
    assert "--require-hashes" in run and "${{ matrix.lock }}" in run
