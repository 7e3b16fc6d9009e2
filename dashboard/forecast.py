"""The page that shows the recent history and the next steps."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.band_plot import Drawing, Step, band_plot
from dashboard.form import title
from dashboard.history import Records, followed, records
from dashboard.loaded import champion
from dashboard.service import Away, Reply, Service
from dashboard.setting import Setting
from dashboard.trouble import told
from dashboard.words import number, plain, sentence
from perennial.errors import PerennialError
from perennial.live.answer import AnswerRule
from perennial.live.bundle import Bundle
from perennial.live.predict import bound_names
from perennial.systems import Followed

BEST = "champion"
SHOWN_STEPS = 5
"""How many times the length of the forecast is shown of the history, at least a week."""


def show(setting: Setting) -> None:
    """Draws the page."""
    st.title("Forecast")
    with told():
        follows = followed(setting)
        if follows is None:
            st.info(plain(f"{setting.config.system} forecasts no series; try a single prediction instead."))
            return
        bundle = champion(setting)
        found = records(setting, follows)
        if found is None:
            st.info(
                f"Nothing was collected yet, so there is no history to forecast from. "
                f"Collect it with `python run.py collect --config {setting.path}`."
            )
            return
        origin, steps = ask(found)
        body = {"origin": origin.isoformat(), "horizon": steps, "history": found.rows_at(origin)}
        try:
            reply = Service(setting.service, setting.token("predict")).post("/forecast", body)
        except Away as away:
            st.info(
                f"No service answers at `{setting.service}` ({plain(away.found)}), so that only the history is "
                f"shown. Start it with `{setting.serve_command}`."
            )
            draw(found, bundle, origin, steps, [])
            return
        show_reply(reply, found, bundle, origin, steps)


def ask(found: Records) -> tuple[datetime, int]:
    """Draws the fields for the origin and the length; returns what they say."""
    follows, last = found.followed, found.last_origin.astimezone(found.zone)
    day, clock, length = st.columns(3)
    chosen = day.date_input(
        "Made on",
        last.date(),
        found.first_origin.astimezone(found.zone).date(),
        last.date(),
        key="origin-day",
    )
    at = last.time()
    if follows.every < timedelta(days=1):
        at = clock.time_input(f"at ({found.zone.key})", at, key="origin-time", step=follows.every)
    else:
        clock.text_input("at", f"{at:%H:%M} {found.zone.key}", disabled=True)
    most = follows.steps
    steps = length.number_input(
        f"Steps of {span(follows.step)}", 1, most, most, key="origin-steps", disabled=most == 1
    )
    assert isinstance(chosen, date)
    return origin_of(chosen, at, found), int(steps)


def origin_of(day: date, clock: time, found: Records) -> datetime:
    """The origin that was chosen, or the last one before: such as the model was trained on, with a history."""
    at = clock if found.followed.every < timedelta(days=1) else time.max
    moment = datetime.combine(day, at, found.zone).astimezone(UTC)
    return max(min(found.followed.origin(moment), found.last_origin), found.first_origin)


def span(step: timedelta) -> str:
    """The length of a step in words.

    >>> span(timedelta(hours=1)), span(timedelta(days=1)), span(timedelta(minutes=15))
    ('1 h', '1 day', '15 min')
    """
    minutes = step.total_seconds() / 60
    if minutes % 1440 == 0:
        return f"{minutes / 1440:g} day{'s' * (minutes > 1440)}"
    return f"{minutes / 60:g} h" if minutes % 60 == 0 else f"{minutes:g} min"


def show_reply(reply: Reply, found: Records, bundle: Bundle, origin: datetime, steps: int) -> None:
    """Draws the service's answer; raises PerennialError where it refused."""
    if reply.status == 404:
        raise PerennialError(
            f"expected a service that forecasts, found one that does not know /forecast ({reply.problem})"
        )
    if reply.problem:
        raise PerennialError(f"the service made no forecast: {reply.problem}")
    body = reply.body
    if body["model"] != bundle.manifest.system:
        raise PerennialError(
            f"expected a forecast of {bundle.manifest.system}, found one of {body['model']}; "
            "name the right service with --service"
        )
    if body["quality"] == BEST:
        st.success(plain(f"Answered by the {body['quality']}, {body['version']}."))
    else:
        told_why = f"Answered by the {body['quality']} ({body['version']}), and not by the champion: {body['reason']}"
        st.warning(plain(sentence(told_why)))
    forecast = steps_of(body["predictions"], bundle.rule, found.followed)
    draw(found, bundle, origin, steps, forecast)
    show_steps(forecast, found, bundle)
    st.caption(plain(f"prediction {body['prediction_id']}"))


def steps_of(rows: list[dict[str, Any]], rule: AnswerRule, follows: Followed) -> list[Step]:
    """The steps of an answer, each at the time when it happens; levels narrow to wide."""
    levels = rule.interval.levels if rule.interval else ()
    names = bound_names(rule)
    columns = sorted(zip(levels, names[::2], names[1::2], strict=True)) if levels else []
    return [
        Step(
            datetime.fromisoformat(row["time"]) - follows.lead,
            row["prediction"],
            tuple((level, row[low], row[high]) for level, low, high in columns if row.get(low) is not None),
        )
        for row in rows
        if row["prediction"] is not None
    ]


def draw(found: Records, bundle: Bundle, origin: datetime, steps: int, forecast: list[Step]) -> None:
    """Draws history and forecast."""
    follows = found.followed
    length = steps * follows.step
    since = origin - max(SHOWN_STEPS * length, 7 * follows.step)
    label = title(bundle.contract.target)
    series = found.series(since, origin + length)
    is_past = pd.DatetimeIndex(series.index) + pd.Timedelta(follows.step) <= pd.Timestamp(origin)
    known, came = series.loc[is_past], series.loc[~is_past]
    if series.empty:
        st.info("There is no value in this stretch of the history.")
        return
    drawn = Drawing(known, came if forecast else came.iloc[:0], forecast, origin, label, found.zone)
    st.altair_chart(band_plot(drawn, st.context.theme.type == "dark"), width="stretch")
    made = origin.astimezone(found.zone)
    st.caption(
        plain(
            f"{label} by steps of {span(follows.step)}, from version {found.version} of the dataset; "
            f"the dashed line is the origin, {made:%Y-%m-%d %H:%M} {found.zone.key}. Drag to move, scroll to zoom."
        )
    )


def show_steps(forecast: list[Step], found: Records, bundle: Bundle) -> None:
    """Draws the numbers behind the plot."""
    with st.expander("Numbers"):
        columns: dict[str, list[Any]] = {
            f"time ({found.zone.key})": [
                f"{step.time.astimezone(found.zone):%Y-%m-%d %H:%M}" for step in forecast
            ],
            title(bundle.contract.target): [step.prediction for step in forecast],
        }
        for i, (level, _, _) in enumerate(forecast[0].bands if forecast else ()):
            for side, name in enumerate(("low", "high"), 1):
                columns[f"{number(100 * level)} % {name}"] = [step.bands[i][side] for step in forecast]
        st.dataframe(pd.DataFrame(columns), hide_index=True, width="stretch")
