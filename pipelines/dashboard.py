"""ZenML's dashboard on a stack's own store: the client keeps writing to SQLite directly, which is faster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

from perennial.config_stack import ServerStore
from perennial.errors import InputError, StackError
from pipelines.stack import open_stack, read

HOST = "127.0.0.1"
START_TIMEOUT_S = 90
PATIENCE_S = 10
GRACE = ("--timeout-graceful-shutdown", "2")  # an open page keeps its connections for as long as it likes
UVICORN = (sys.executable, "-m", "uvicorn", "zenml.zen_server.zen_server_api:app")


def serve_dashboard(stack: str, folder: Path, port: int, browser: bool) -> None:
    """Runs the dashboard until it is interrupted.

    Raises:
        InputError: the port is taken, or the stack has a server of its own.
        StackError: the server did not come up.
    """
    metadata = read(stack).metadata
    if isinstance(metadata, ServerStore):
        raise InputError(f"stack {stack} has a server of its own, with its dashboard; open {metadata.url}")
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise InputError(
                f"expected port {port} to be free, found a server on it; choose another with --port"
            )
    open_stack(stack, folder)
    _skip_onboarding()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as Ctrl-C does, from before the start on
    server = subprocess.Popen(
        [*UVICORN, "--host", HOST, "--port", str(port), "--log-level", "warning", *GRACE],
        env={**os.environ, **_server_environment(folder)},
    )
    try:
        url = f"http://{HOST}:{port}"
        _wait(url, server)
        print(f"ZenML dashboard: {url} (stop it with Ctrl-C)", flush=True)  # noqa: T201
        if browser:
            webbrowser.open(url)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave the server behind
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server.terminate()
    try:
        server.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _server_environment(folder: Path) -> dict[str, str]:
    return {
        "ZENML_SERVER": "true",
        "ZENML_SERVER_ALLOW_LOCAL_FILE_ACCESS": "true",
        "ZENML_SERVER_AUTH_SCHEME": "NO_AUTH",
        "ZENML_SERVER_DEPLOYMENT_TYPE": "local",
        "ZENML_SERVER_AUTO_ACTIVATE": "True",
        "DISABLE_DATABASE_MIGRATION": "True",
        "ZENML_CONFIG_PATH": str(folder / "zenml" / "zen_server" / "dashboard"),
        "ZENML_LOCAL_STORES_PATH": str(folder / "zenml" / "local_stores"),
        "ZENML_ACTIVE_STACK_ID": "",
    }


def _skip_onboarding() -> None:
    """Marks ZenML's survey as answered, without a name, an address or consent to mail."""
    from zenml.client import Client
    from zenml.models import UserUpdate

    client = Client()
    user = client.active_user
    if not user.user_metadata.get("finished_onboarding_survey"):
        answered = {**user.user_metadata, "finished_onboarding_survey": True}
        update = UserUpdate(full_name="Perennial", email="", email_opted_in=False, user_metadata=answered)
        client.zen_store.update_user(user.id, update)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise StackError(
        f"expected ZenML's dashboard at {url} within {START_TIMEOUT_S} s, found none; see its output above"
    )
