"""Messages to notification addresses, through a sending process that has a limited time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.config_file import secret
from perennial.errors import InputError

PROGRAM = Path(__file__).with_name("deliver.py")


@dataclass(frozen=True)
class Alert:
    """A message for people: a subject line, and a few sentences. `recovered` marks good news."""

    title: str
    body: str
    recovered: bool = False


def post(letters: Sequence[tuple[Alert, str]], within_s: float) -> list[str]:
    """For every letter a sentence on what went wrong with it, "" where nothing did.

    A letter is an alert and a reference (`env:NAME`) to an address in Apprise's form. All are sent at once;
    what has no answer after `within_s` seconds is given up. The address itself is in no sentence, and is not
    passed as an argument or through the environment.
    """
    problems: dict[int, str] = {}
    jobs: dict[int, dict[str, Any]] = {}
    for place, (alert, reference) in enumerate(letters):
        try:
            url = secret(reference)
        except InputError as error:
            problems[place] = f"{reference}: {error}"
        else:
            text = {"title": alert.title, "body": alert.body, "recovered": alert.recovered}
            jobs[place] = {"url": url, **text}
    if jobs:
        settled, otherwise = _sent(list(jobs.values()), within_s)
        for job, place in enumerate(jobs):
            reference = letters[place][1]
            problems[place] = (
                _problem(reference, settled[job]) if job in settled else f"{reference}: {otherwise}"
            )
    return [problems[place] for place in range(len(letters))]


def _sent(jobs: Sequence[dict[str, Any]], within_s: float) -> tuple[dict[int, dict[str, Any]], str]:
    """What became of each job that was settled in time, and what to say of the others."""
    command = [sys.executable, "-P", str(PROGRAM)]
    asked = json.dumps({"within_s": within_s, "jobs": jobs}).encode()
    try:
        done = subprocess.run(
            command,
            input=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=within_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        output = late.output or b""
        otherwise = f"expected an answer within {within_s:g} s, found none; see whether its host is up"
    else:
        output = done.stdout
        ended = f"found that it ended with code {done.returncode}"
        otherwise = f"expected the sending process to answer, {ended}; run `make setup`"
    told = [json.loads(line) for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
    return {one["job"]: one for one in told}, otherwise


def _problem(reference: str, answer: dict[str, Any]) -> str:
    if not answer["known"]:
        return (
            f"{reference}: expected an address in Apprise's form, such as mailto://, slack:// or json://, found "
            "another; mend the secret"
        )
    if not answer["sent"]:
        status = f" with HTTP status {answer['status']}" if answer["status"] else ""
        return (
            f"{reference}: expected {answer['service']} to take the message, found it refused{status} or "
            "unreachable; mend the secret or the service, and try `python run.py alerts --test`"
        )
    return ""
