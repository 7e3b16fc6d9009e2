"""The alerts: when somebody should look at a service or a device, and what to do then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ops import queries
from ops.queries import AGE, EDGE_JOB, ERRORS, FALLBACKS, FLAGGED, P99, RECORDED, SERVICE_JOB, checked

DAY_S = 86_400


@dataclass(frozen=True)
class Alert:
    """One alert.

    Attributes:
        name: what it is called.
        query: what is wrong where it gives anything.
        after: how long it must last, in Prometheus's form.
        severity: `critical` wakes somebody, `warning` waits for the morning.
        found: what is the case, in Prometheus's template language.
        remedy: what to do next.
    """

    name: str
    query: str
    after: str
    severity: Literal["critical", "warning"]
    found: str
    remedy: str


SERVICE_ALERTS = (
    Alert(
        "PerennialDown",
        f'up{{job="{SERVICE_JOB}"}} == 0',
        "1m",
        "critical",
        "{{ $labels.instance }} does not answer Prometheus",
        "see whether the service runs, and whether the token for /metrics is right",
    ),
    Alert(
        "PerennialNotReady",
        "perennial_ready == 0",
        "1m",
        "critical",
        "{{ $labels.instance }} has a worker without a release that it may answer with",
        "GET /readyz says why",
    ),
    Alert(
        "PerennialErrors",
        f"{ERRORS} > 0.01",
        "5m",
        "critical",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.instance }} fail",
        "see the service's log",
    ),
    Alert(
        "PerennialSlow",
        f'{P99}{{endpoint=~"/predict|/forecast"}} > 0.25',
        "10m",
        "warning",
        "a hundredth of the answers of {{ $labels.instance }} takes over {{ $value | humanizeDuration }}",
        "give it more workers, or send fewer rows in a request",
    ),
    Alert(
        "PerennialJournalDown",
        "perennial_journal_down == 1",
        "1m",
        "critical",
        "{{ $labels.instance }} cannot write the journal; it answers, and nothing remembers what",
        "free space, or bring the database back",
    ),
    Alert(
        "PerennialJournalLag",
        "perennial_journal_lag_seconds > 1",
        "2m",
        "warning",
        "predictions of {{ $labels.instance }} wait {{ $value | humanizeDuration }} for the disk",
        "see what else writes to that disk or database",
    ),
    Alert(
        "PerennialRowsLost",
        "increase(perennial_journal_lost_rows_total[15m]) > 0",
        "0m",
        "critical",
        "{{ $value | humanize }} predictions of {{ $labels.instance }} never came to disk",
        "they are lost; mend the journal before more are",
    ),
    Alert(
        "PerennialReleaseNotTaken",
        "perennial_release_current == 0 and on (job, instance) perennial_ready == 1",
        "5m",
        "warning",
        "{{ $labels.instance }} goes on with an older release, for it cannot take the newest one",
        "trouble at GET /readyz says why",
    ),
    Alert(
        "PerennialModelOld",
        f"{AGE} > {30 * DAY_S}",
        "1h",
        "warning",
        "the model {{ $labels.model }} of {{ $labels.instance }} was built {{ $value | humanizeDuration }} ago",
        "train it again, or allow it more in ops/rules.py",
    ),
    Alert(
        "PerennialFallback",
        f"{FALLBACKS} > 0.05",
        "5m",
        "warning",
        "{{ $value | humanizePercentage }} of the forecasts of {{ $labels.instance }} are not the champion's",
        "the answers' reason says why; see whether observations arrive",
    ),
    Alert(
        "PerennialFlagged",
        f"{FLAGGED} > 0.2",
        "30m",
        "warning",
        "{{ $value | humanizePercentage }} of the rows that {{ $labels.instance }} answers are flagged",
        "see the flags in the journal: a source may have changed",
    ),
    Alert(
        "PerennialShadowDropping",
        "increase(perennial_shadow_dropped_total[15m]) > 0",
        "15m",
        "warning",
        "the shadow of {{ $labels.instance }} missed {{ $value | humanize }} requests within 15 minutes",
        "it is slower than the champion: lower its share, or give it more workers",
    ),
    Alert(
        "PerennialChallengerFailing",
        "increase(perennial_challenger_failures_total[15m]) > 0",
        "0m",
        "warning",
        "the challenger of {{ $labels.instance }} could not answer {{ $value | humanize }} requests",
        "see the service's log; the champion answers in its place",
    ),
    Alert(
        "PerennialChallengerTrouble",
        "perennial_challenger_trouble == 1",
        "5m",
        "warning",
        "{{ $labels.instance }} cannot answer with the challenger of its trial",
        "GET /readyz says why; the champion answers in its place",
    ),
)
EDGE_ALERTS = (
    Alert(
        "PerennialEdgeNotReady",
        "perennial_edge_ready == 0",
        "5m",
        "critical",
        "the device {{ $labels.instance }} has no release that answers",
        "GET /readyz on the device says why",
    ),
    Alert(
        "PerennialEdgeErrors",
        queries.share(
            'sum by (job, instance) (rate(perennial_edge_requests_total{status=~"5.."}[15m]))',
            "sum by (job, instance) (rate(perennial_edge_requests_total[15m]))",
        )
        + " > 0.01",
        "5m",
        "critical",
        "{{ $value | humanizePercentage }} of the requests to the device {{ $labels.instance }} fail",
        "see the agent's log",
    ),
    Alert(
        "PerennialEdgeStale",
        "perennial_edge_stale == 1",
        "15m",
        "warning",
        "the device {{ $labels.instance }} has not heard for too long which release serves",
        "it goes on answering; see whether it reaches the source",
    ),
    Alert(
        "PerennialEdgeModelOld",
        f"perennial_edge_model_age_seconds > {30 * DAY_S}",
        "1h",
        "warning",
        "the model of the device {{ $labels.instance }} was built {{ $value | humanizeDuration }} ago",
        "train it again, and see whether the device takes it",
    ),
    Alert(
        "PerennialEdgeQueueGrowing",
        "perennial_edge_queue_age_seconds > 3600 and deriv(perennial_edge_queue_rows[30m]) > 0",
        "30m",
        "warning",
        "journal rows of the device {{ $labels.instance }} have waited {{ $value | humanizeDuration }}",
        "see upload_trouble at GET /readyz on the device",
    ),
    Alert(
        "PerennialEdgeRowsLost",
        "increase(perennial_edge_queue_dropped_total[1h]) + increase(perennial_edge_queue_lost_total[1h])"
        " + increase(perennial_edge_queue_refused_total[1h]) > 0",
        "0m",
        "critical",
        "{{ $value | humanize }} journal rows of the device {{ $labels.instance }} are lost",
        "bring it online, give its queue more room, or see its log for what the receiver refused",
    ),
    Alert(
        "PerennialEdgeGaveUp",
        "increase(perennial_edge_returns_total[1h]) > 0",
        "0m",
        "warning",
        "the device {{ $labels.instance }} gave up a release on trial and went back",
        "trouble at GET /readyz on the device says why",
    ),
    Alert(
        "PerennialEdgeDisk",
        "perennial_edge_state_kept == 0",
        "5m",
        "critical",
        "the disk of the device {{ $labels.instance }} does not take its state",
        "free space or replace the disk",
    ),
)


def rules() -> dict[str, Any]:
    """The content of rules.yml; raises InputError where a query names what the catalogue does not have."""
    recorded = [{"record": name, "expr": checked(query)} for name, query in RECORDED.items()]
    alerts = {"perennial": SERVICE_ALERTS, EDGE_JOB: EDGE_ALERTS}
    groups = [{"name": f"{name}-alerts", "rules": list(_told(found))} for name, found in alerts.items()]
    return {"groups": [{"name": "perennial-recorded", "rules": recorded}, *groups]}


def _told(alerts: tuple[Alert, ...]) -> Iterator[dict[str, Any]]:
    for alert in alerts:
        yield {
            "alert": alert.name,
            "expr": checked(alert.query),
            "for": alert.after,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.found, "description": f"{alert.found}; {alert.remedy}."},
        }
