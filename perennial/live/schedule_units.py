"""The schedule in the words of others: systemd timers, crontab lines, Kubernetes CronJobs."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from perennial.cron import BOUNDS, Cron
from perennial.errors import InputError
from perennial.live.schedule import ON_TIME_S

FORMS = ("systemd", "cron", "kubernetes")
WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
LONGEST_NAME = 52  # of a CronJob
NOT_ALL = (
    "It does not know grace_s and the pauses, and on the days of a clock change it follows its own rules."
)


@dataclass(frozen=True)
class Unit:
    """A job for others to schedule; `arguments` are those of run.py."""

    system: str
    job: str
    cron: Cron
    zone: str
    missed: Literal["once", "skip"]
    grace_s: float
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """A name that is allowed everywhere."""
        return f"perennial-{self.system}-{self.job}".replace("_", "-").lower()


@dataclass(frozen=True)
class Place:
    """Where runs start: working directory, Python, run.py, state folder (PERENNIAL_HOME); all absolute."""

    folder: Path
    python: Path
    program: Path
    home: Path


def systemd_files(units: Sequence[Unit], place: Place) -> dict[str, str]:
    """File name -> text: a service and a timer for each unit."""
    files = {}
    for unit in units:
        command = " ".join(_systemd(a) for a in (str(place.python), str(place.program), *unit.arguments))
        about = f"Description=Perennial: {unit.job} of {unit.system}"
        files[f"{unit.name}.service"] = "\n".join(
            [
                "[Unit]",
                about,
                "",
                "[Service]",
                "Type=oneshot",
                f"WorkingDirectory={_percent(place.folder)}",
                f"Environment={_systemd(f'PERENNIAL_HOME={place.home}', dollars=False)}",
                "Environment=PYTHONUNBUFFERED=1",
                f"ExecStart={command}",
                "",
            ]
        )
        files[f"{unit.name}.timer"] = "\n".join(
            [
                "[Unit]",
                about,
                "",
                "[Timer]",
                *(f"OnCalendar={expression}" for expression in on_calendar(unit.cron, unit.zone)),
                f"Persistent={str(unit.missed == 'once').lower()}",
                "AccuracySec=1s",
                "",
                "[Install]",
                "WantedBy=timers.target",
                "",
            ]
        )
    return files


def systemd(units: Sequence[Unit], place: Place) -> str:
    """Services and timers, one file after another, with how to install them."""
    timers = " ".join(f"{unit.name}.timer" for unit in units)
    lines = [
        "# Install: write the files below (--into FOLDER does it) to ~/.config/systemd/user, then",
        "#   systemctl --user daemon-reload",
        f"#   systemctl --user enable --now {timers}",
        "#   loginctl enable-linger    # so that they run while you are not logged in",
        f"# {NOT_ALL}",
        "# systemd skips a time that the clocks leap over.",
    ]
    for name, text in systemd_files(units, place).items():
        lines += ["", f"# ---- {name}", text.rstrip()]
    return "\n".join(lines) + "\n"


def crontab(units: Sequence[Unit], place: Place) -> str:
    """Lines of a crontab, with how to install them."""
    lines = [
        "# Install: add these lines with `crontab -e`. CRON_TZ is known to cronie (Fedora, RHEL, Arch, SUSE); the",
        "# cron of Debian and Ubuntu ignores it and uses the machine's zone: prefer --print systemd there.",
        "# cron never makes up for missed runs.",
        f"# {NOT_ALL}",
        f"PERENNIAL_HOME={shlex.quote(str(place.home))}",
    ]
    for unit in units:
        command = shlex.join((str(place.python), str(place.program), *unit.arguments))
        line = f"cd {shlex.quote(str(place.folder))} && {command}".replace("%", r"\%")
        lines += ["", f"CRON_TZ={unit.zone}", f"{unit.cron} {line}"]
    return "\n".join(lines) + "\n"


def kubernetes(units: Sequence[Unit], image: str, namespace: str) -> str:
    """CronJobs as YAML, with how to install them; `arguments` are read inside the image's /app."""
    note = [
        "# Install: python run.py schedule --config ... --stack ... --print kubernetes | kubectl apply -f -",
        "# It needs a PersistentVolumeClaim `perennial` for the state folder, and takes secrets such as",
        "# ZENML_API_KEY from a Secret `perennial`. The image holds run.py and the configs in /app. In a pod, the",
        "# stack's orchestrator.context must be empty.",
        "# It does not know the pauses (suspend does that), and follows its own rules on the days of a clock change.",
        "",
    ]
    return "\n".join(note) + yaml.safe_dump_all(
        [_cron_job(unit, image, namespace) for unit in units], sort_keys=False, width=110
    )


def on_calendar(cron: Cron, zone: str) -> list[str]:
    """Systemd's calendar expressions: any of them is enough."""
    clock = f"{_ranges(cron.hours, *BOUNDS[1])}:{_ranges(cron.minutes, *BOUNDS[0])}:00 {zone}"
    month = _ranges(cron.months, *BOUNDS[3])
    weekdays = ",".join(WEEKDAYS[n] for n in cron.weekdays)
    by_day, by_weekday = (
        f"*-{month}-{_ranges(cron.days, *BOUNDS[2])} {clock}",
        f"{weekdays} *-{month}-* {clock}",
    )
    if cron.either:
        return [by_day, by_weekday]
    return [by_weekday if len(cron.weekdays) < 7 else by_day]


def _cron_job(unit: Unit, image: str, namespace: str) -> Mapping[str, Any]:
    if len(unit.name) > LONGEST_NAME:
        raise InputError(
            f"expected a name of at most {LONGEST_NAME} letters for a CronJob, found {unit.name!r}; "
            "give the system a shorter name"
        )
    labels = {"app.kubernetes.io/name": "perennial", "app.kubernetes.io/component": unit.name}
    late_s = unit.grace_s if unit.missed == "once" else ON_TIME_S
    container = {
        "name": unit.job,
        "image": image,
        "workingDir": "/app",
        "command": ["python", "run.py", *unit.arguments],
        "env": [
            {"name": "PERENNIAL_HOME", "value": "/var/lib/perennial"},
            {"name": "PYTHONUNBUFFERED", "value": "1"},
        ],
        "envFrom": [{"secretRef": {"name": "perennial", "optional": True}}],
        "volumeMounts": [{"name": "state", "mountPath": "/var/lib/perennial"}],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "state", "persistentVolumeClaim": {"claimName": "perennial"}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": unit.name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "schedule": str(unit.cron),
            "timeZone": unit.zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": max(
                10, math.ceil(late_s)
            ),  # below 10 s Kubernetes may never start one
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 0,
                    "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
                }
            },
        },
    }


def _ranges(values: Sequence[int], low: int, high: int) -> str:
    """Values in systemd's words."""
    if len(values) == high - low + 1:
        return "*"
    return ",".join(f"{value:02d}" for value in values)


def _systemd(word: str, dollars: bool = True) -> str:
    """A word of a systemd unit: quoted where needed, so that it means itself."""
    text = _percent(word).replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace("$", "$$") if dollars else text
    return f'"{text}"' if any(c in text for c in " \t\"'\\;") or not text else text


def _percent(value: object) -> str:
    return str(value).replace("%", "%%")
