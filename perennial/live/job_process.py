"""Runs as processes of their own: started with their lock, listened to, and ended with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from perennial.live.job_lock import Lock

DRAIN_S = 2.0
CANNOT_START = 127
Say = Callable[[str, str], None]


class Processes:
    """The runs that are going on; `say(label, text)` writes one line. Once closed, it starts no more."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._guard = threading.Lock()
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._closed = False

    def run(
        self,
        label: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        lock: Lock,
        now: datetime,
        why: str,
    ) -> int | None:
        """Runs a program to its end and passes its output on; returns its exit code, negative for a signal.

        None where it was not started because this is closed. The program inherits the lock, and
        `environment` on top of this process's own.
        """
        with self._guard:
            if self._closed:
                return None
            try:
                process = subprocess.Popen(
                    list(command),
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **environment, **lock.environment()},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    pass_fds=(lock.handle,),
                    start_new_session=True,
                )
            except OSError as error:
                self._say(label, f"cannot be started: {error}")
                return CANNOT_START
            self._running[label] = process
        self._say(label, f"{why}, process {process.pid}")
        listener = threading.Thread(target=self._pass_on, args=(label, process), daemon=True)
        listener.start()
        try:
            lock.tell(process.pid, now)
        except OSError as error:
            self._say(label, f"cannot write into {lock.path} that process {process.pid} holds it: {error}")
        code = process.wait()
        with self._guard:
            del self._running[label]
        listener.join(DRAIN_S)  # something that the run left behind may hold the pipe for ever
        return code

    def close(self, number: signal.Signals) -> None:
        """Starts nothing more, and sends a signal to every run and all that it started."""
        with self._guard:
            self._closed = True
            for process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)

    def _pass_on(self, label: str, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self._say(label, f"| {line.rstrip()}")
