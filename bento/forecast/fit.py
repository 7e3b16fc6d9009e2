"""Whether two releases can be on trial beside each other, where their system may forecast."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bento.forecast.plan import Plan, plan_of
from perennial.config_web import Feed
from perennial.live.trial import fit
from perennial.systems import Followed

if TYPE_CHECKING:
    from perennial.live.bundle import Bundle

WHEN_KNOWN = ("event_time", "available_at", "available_after_s", "unfinished")
HOW_READ = ("parse", "unit")


def misfits(champion: Bundle, challenger: Bundle) -> list[str]:
    """What stands against a trial of these two, a phrase each; of a system that forecasts, forecasts are on trial.

    Their features may differ, for each makes its own from the history; but the history that callers send must be one
    that the challenger can read, and its forecasts must be about the same times. Raises BundleError.
    """
    asked = plan_of(champion)
    if asked is None:
        return fit.misfits(champion, challenger)
    found = fit.answer_misfits(champion.rule, challenger.rule)
    offered = plan_of(challenger)
    if offered is None:
        return [*found, "it forecasts nothing"]
    return [*found, *_time_misfits(asked.followed, offered.followed), *_feed_misfits(asked, offered)]


def _time_misfits(asked: Followed, offered: Followed) -> list[str]:
    found = []
    if (offered.feed, offered.field) != (asked.feed, asked.field):
        found.append(f"it forecasts {offered.field} of {offered.feed} and not {asked.field} of {asked.feed}")
    for what in ("step", "after"):
        ours, theirs = getattr(offered, what), getattr(asked, what)
        if ours != theirs:
            told = {"step": "its steps are of", "after": "its first row is about a time after"}[what]
            found.append(f"{told} {_hours(ours)} and not {_hours(theirs)}")
    if offered.steps < asked.steps:
        found.append(f"it forecasts {offered.steps} steps and not {asked.steps}")
    if asked.every % offered.every or (asked.first - offered.first) % offered.every:
        found.append(
            f"it was trained on origins every {_hours(offered.every)} from Monday {_hours(offered.first)} on and "
            f"not every {_hours(asked.every)} from {_hours(asked.first)} on"
        )
    return found


def _feed_misfits(asked: Plan, offered: Plan) -> list[str]:
    """Why rows of the champion's feeds are none of the challenger's."""
    found = []
    for name, feed in offered.source.feeds.items():
        if name in asked.source.feeds:
            found += _row_misfits(name, asked.source.feeds[name], feed)
        else:
            found.append(f"it reads the feed {name}, which callers do not send")
    return found


def _row_misfits(name: str, asked: Feed, offered: Feed) -> list[str]:
    found = []
    if set(offered.key) != set(asked.key):
        found.append(f"its rows of {name} are told apart by {', '.join(offered.key)}")
    if any(getattr(offered, rule) != getattr(asked, rule) for rule in WHEN_KNOWN):
        found.append(f"its rows of {name} happen or become known by another rule")
    for field, rule in offered.fields.items():
        if field not in asked.fields:
            found.append(f"it reads {field} of {name}, which callers do not send")
        elif any(getattr(rule, how) != getattr(asked.fields[field], how) for how in HOW_READ):
            found.append(f"its {field} of {name} is of another type or unit")
    return found


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:g} h"
