"""When the service is ready, how it ends, what it reads from its environment and what it never imports."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import forecasts
import psutil
import pytest
from releases import damage

from bento import state
from bento.answering import Answering
from bento.app import App
from bento.process import free_port, service_environment, started
from bento.watch import Standing, watching
from perennial.errors import PerennialError
from perennial.live.models import OnnxModel
from perennial.live.predict import Predictor
from perennial.live.sign import SigningKey
from tests.asking import JSON, ROW, ask, counted, is_refusal, key, post, predictor, releases, served
from tests.project import ROOT

__all__ = ("key", "predictor", "releases", "served")


def loaded(environment: Any) -> Answering | state.NotReady:
    """What a worker with this environment answers with."""
    return watching(environment).standing.state


def call(app: App, body: bytes) -> tuple[int, Any]:
    """One request to an application in this process."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/predict", "method": "POST", "headers": []}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_fault_of_ours_is_a_500_without_its_trace(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    standing = Standing(Answering(state.Ready(predictor, 1000)))
    app = App(None, lambda: standing)  # type: ignore[arg-type]
    body = json.dumps(ROW).encode()
    assert call(app, body)[0] == 200

    def broken(model: OnnxModel, matrix: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(OnnxModel, "raw", broken)
    status, answer = call(app, body)
    assert (status, answer["error"]) == (500, "internal")
    assert is_refusal(answer)
    assert "secret" not in json.dumps(answer)
    assert "secret detail" in caplog.text
    monkeypatch.undo()
    assert call(app, body)[0] == 200


def test_golden_rows_are_replayed_before_it_is_ready(
    releases: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = service_environment(releases, "prices", key.public_path)
    assert isinstance(loaded(environment), Answering)
    real = OnnxModel.raw
    monkeypatch.setattr(OnnxModel, "raw", lambda model, matrix: real(model, matrix) + 0.01)
    found = loaded(environment)
    assert isinstance(found, state.NotReady)
    assert "golden rows are answered differently" in found.reason


def test_a_damaged_bundle_is_not_ready_and_says_why(releases: Path, key: SigningKey, tmp_path: Path) -> None:
    shutil.copytree(releases, tmp_path / "releases")
    folder = tmp_path / "releases" / "prices" / "bundles" / "v1"
    name = max((p for p in folder.iterdir() if p.is_file()), key=lambda p: p.stat().st_size).name
    damage(tmp_path / "releases", "prices", "v1", name)
    environment = service_environment(tmp_path / "releases", "prices", key.public_path)
    with pytest.raises(PerennialError, match=re.escape(name)), started(environment, free_port()):
        pass
    with started(environment, free_port(), ready=False) as served:
        status, _, answer = ask(served, None, {}, "/readyz", "GET")
        assert (status, answer["error"]) == (503, "not_ready")
        assert name in answer["message"]
        assert is_refusal(answer)
        assert post(served, ROW)[::2] == (503, answer)
        assert ask(served, None, {}, "/model", "GET")[0] == 503
        assert ask(served, None, {}, "/livez", "GET")[0] == 200
        assert ask(served, None, {}, "/docs.json", "GET")[0] == 200
        assert "perennial_ready 0.0" in ask(served, None, {}, "/metrics", "GET")[2].decode()
        assert served.process.poll() is None


def test_sigterm_ends_it_cleanly_with_all_workers(releases: Path, key: SigningKey) -> None:
    environment = service_environment(releases, "kinds", key.public_path, workers=2)
    with started(environment, free_port()) as served:
        answer = post(served, ROW)[2]
        (prediction,) = answer["predictions"]
        assert set(prediction["probabilities"]) == {"old", "young"}
        assert sum(prediction["probabilities"].values()) == pytest.approx(1)
        for _ in range(30):
            assert post(served, ROW)[0] == 200
        assert counted(served, "perennial_requests_total", endpoint="/predict", status="200") == 31
        children = psutil.Process(served.process.pid).children(recursive=True)
        workers = [child for child in children if "_bentoml_impl.worker.service" in child.cmdline()]
        assert len(workers) == 2
        assert all(worker.environ()["OMP_NUM_THREADS"] == "1" for worker in workers)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(15) == 0
        assert not any(worker.is_running() for worker in workers)
        assert "Traceback" not in served.log.read_text()


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    home = str(tmp_path)
    chosen = state.settings({"PERENNIAL_HOME": home})
    assert chosen.releases == tmp_path / "releases"
    assert chosen.public_key.parent == tmp_path / "keys"
    assert (chosen.system, chosen.max_rows) == (None, 1000)
    assert state.settings({"PERENNIAL_RELEASES": "/r", "PERENNIAL_MAX_ROWS": "5"}).max_rows == 5
    for bad in ("0", "-1", "x", "1.5", "²"):
        answer = loaded({"PERENNIAL_HOME": home, "PERENNIAL_MAX_ROWS": bad})
        assert isinstance(answer, state.NotReady)
        assert "PERENNIAL_MAX_ROWS" in answer.reason


def test_which_system_serves(releases: Path, key: SigningKey, tmp_path: Path) -> None:
    base = {"PERENNIAL_RELEASES": str(releases), "PERENNIAL_PUBLIC_KEY": str(key.public_path)}

    def reason(**changes: str) -> str:
        found = loaded({**base, **changes})
        assert isinstance(found, state.NotReady)
        return found.reason

    assert "PERENNIAL_SYSTEM to name one of kinds, prices" in reason()
    assert "did you mean 'prices'" in reason(PERENNIAL_SYSTEM="price")
    assert "expected a champion" in reason(PERENNIAL_RELEASES=str(tmp_path / "none"))
    shutil.copytree(releases / "kinds", tmp_path / "one" / "kinds")
    only = loaded({**base, "PERENNIAL_RELEASES": str(tmp_path / "one")})
    assert isinstance(only, Answering)
    assert only.names["model"] == "kinds"
    (tmp_path / "one" / "kinds" / "ledger" / "000001.json").write_text("{}")
    assert "000001.json" in reason(PERENNIAL_RELEASES=str(tmp_path / "one"))


HEAVY = ("zenml", "mlflow", "evidently", "pandas", "sklearn", "skops", "lightgbm", "scipy", "pyarrow")


def test_it_answers_without_training_libraries(releases: Path, key: SigningKey) -> None:
    """With the imports of everything outside the serve layer forbidden."""
    code = f"""
import importlib.abc, json, os, sys
class Forbidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"forbidden: {{name}}", name=name)
sys.meta_path.insert(0, Forbidden())
from bento.service import Predictor
found = Predictor().watch.standing.state.ready
answered = found.predictor.answer_rows([json.loads({json.dumps(json.dumps(ROW))})])
print(found.bundle.manifest.backend, float(answered.answers.prediction[0]))
from bentoml._internal.utils.analytics.usage_stats import do_not_track
print(do_not_track())
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    environment = {**os.environ, **service_environment(releases, "prices", key.public_path)}
    del environment["BENTOML_DO_NOT_TRACK"]
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-3].startswith("onnx ")
    assert lines[-2:] == ["True", ""]


@pytest.mark.torture
def test_it_serves_from_an_environment_of_the_serve_layer(
    releases: Path, key: SigningKey, tmp_path: Path
) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    lock = ROOT / "requirements" / "serve.txt"
    install = [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock]
    subprocess.run(install, check=True)
    listed = subprocess.run(
        [uv, "pip", "list", "--python", python], capture_output=True, text=True, check=True
    )
    light = {"pandas"}  # for the features of forecasts
    assert not (set(HEAVY) - light) & {line.split(" ")[0] for line in listed.stdout.splitlines()}
    environment = service_environment(releases, "prices", key.public_path)
    with started(environment, free_port(), python=str(python)) as served:
        assert post(served, ROW)[0] == 200
    origin = datetime(2026, 3, 2, tzinfo=UTC)
    forecasts.released(tmp_path / "loads", key, origin)
    environment = service_environment(tmp_path / "loads", "load", key.public_path)
    history = forecasts.sent(forecasts.past(origin), load="load_mw", weather="temperature_c")
    with started(environment, free_port(), python=str(python)) as served:
        body = json.dumps({"origin": origin.isoformat(), "history": history}).encode()
        status, _, answer = ask(served, body, JSON, "/forecast")
    assert (status, answer["quality"], answer["reason"]) == (200, "champion", "")
