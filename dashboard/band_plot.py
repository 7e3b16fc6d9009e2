"""A series with its forecast and the bands of its intervals, as an interactive plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import altair as alt
import pandas as pd

from perennial.live.report.page import DARK, LIGHT

HEIGHT = 420
STRENGTH = 0.5
"""How much of the line's colour the narrowest band has."""
EDGE = 10
"""Pixels beside the first and the last moment, which a bar stands over."""
KNOWN, CAME, FORECAST, MADE = "known", "what came", "forecast", "origin"


@dataclass(frozen=True)
class Step:
    """One step of a forecast: when it happens, what was predicted, and low and high per level, narrow to wide."""

    time: datetime
    prediction: float
    bands: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Attributes:
        known: values that were known at the origin, by when they happened.
        came: values that came later, where they are known by now.
        steps: the forecast; each band is (level, low, high).
        origin: when the forecast was made.
        label: what the values are, with their unit.
        zone: of the time axis.
    """

    known: pd.Series[float]
    came: pd.Series[float]
    steps: Sequence[Step]
    origin: datetime
    label: str
    zone: ZoneInfo


def band_plot(drawn: Drawing, is_dark: bool) -> alt.LayerChart | alt.FacetChart:
    """The plot; it zooms and moves along the time axis, and tells values under the pointer."""
    colours = DARK if is_dark else LIGHT
    by_level = {
        f"{100 * level:g} % interval": [(s, s.bands[i]) for s in drawn.steps]
        for i, (level, _, _) in enumerate(drawn.steps[0].bands if drawn.steps else ())
    }
    lines = {KNOWN: drawn.known, CAME: drawn.came, FORECAST: _predicted(drawn.steps)}
    tint_of = {KNOWN: "base", CAME: "second", FORECAST: "main"}
    tints = {name: colours[tint_of[name]] for name, series in lines.items() if len(series)}
    for i, name in enumerate(by_level):
        tints[name] = mixed(colours["main"], colours["paper"], STRENGTH / (i + 1))
    scale = alt.Scale(domain=list(tints), range=list(tints.values()))
    legend = alt.Legend(orient="top", title=None, symbolType="square", columns=2, symbolOpacity=1)
    colour = alt.Color("what:N", scale=scale, legend=legend)
    x = alt.X(
        "time:T",
        title=f"time ({drawn.zone.key})",
        scale=alt.Scale(type="utc", padding=EDGE),
        axis=alt.Axis(labelBound=True),
    )
    y_scale = alt.Scale(zero=False, nice=True)

    layers: list[alt.Chart] = []
    for name, pairs in reversed(by_level.items()):
        frame = pd.DataFrame(
            {
                "time": [wall(step.time, drawn.zone) for step, _ in pairs],
                "low": [low for _, (_, low, _) in pairs],
                "high": [high for _, (_, _, high) in pairs],
                "what": name,
            }
        )
        y = alt.Y("low:Q", title=drawn.label, scale=y_scale)
        layers.append(_band(frame, x, y, colour, len(pairs)))
    layers += [
        _line(lines_of(series, name, drawn.zone), x, y_scale, colour, drawn.label, name)
        for name, series in lines.items()
        if len(series)
    ]
    origin = pd.DataFrame({"time": [wall(drawn.origin, drawn.zone)]})
    rule = alt.Chart(origin).mark_rule(color=colours["muted"], strokeDash=[4, 4]).encode(x=x)
    return alt.layer(*layers, rule).properties(height=HEIGHT).interactive(bind_y=False)


def mixed(colour: str, paper: str, share: float) -> str:
    """A colour with so much of the paper's in it, opaque.

    >>> mixed("#0072b2", "#ffffff", 0.5)
    '#80b8d8'
    """
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for a, b in [(colour, paper)] for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def wall(moment: datetime, zone: ZoneInfo) -> str:
    """What a clock in a zone shows at a moment, as a UTC time: plots know no other zones.

    >>> wall(datetime.fromisoformat("2026-07-01T12:00+00:00"), ZoneInfo("Europe/Berlin"))
    '2026-07-01T14:00:00+00:00'
    """
    return moment.astimezone(zone).replace(tzinfo=None).isoformat() + "+00:00"


def lines_of(series: pd.Series[float], name: str, zone: ZoneInfo) -> pd.DataFrame:
    """A series as rows of a plot."""
    return pd.DataFrame(
        {
            "time": [wall(moment.to_pydatetime(), zone) for moment in series.index],
            "value": series.tolist(),
            "what": name,
        }
    )


def _predicted(steps: Sequence[Step]) -> pd.Series[float]:
    return pd.Series(
        [step.prediction for step in steps], pd.DatetimeIndex([step.time for step in steps], tz="UTC")
    )


def _band(frame: pd.DataFrame, x: alt.X, y: alt.Y, colour: alt.Color, count: int) -> alt.Chart:
    tips = [alt.Tooltip("utcyearmonthdatehoursminutes(time):T", title="time")]
    tips += [alt.Tooltip(f"{name}:Q", format=",.5~g") for name in ("low", "high")]
    tips.append(alt.Tooltip("what:N"))
    marks = alt.Chart(frame)
    drawn = marks.mark_area(opacity=1) if count > 1 else marks.mark_bar(opacity=1, width=9)
    found: alt.Chart = drawn.encode(x=x, y=y, y2="high:Q", color=colour, tooltip=tips)
    return found


def _line(
    frame: pd.DataFrame, x: alt.X, scale: alt.Scale, colour: alt.Color, label: str, name: str
) -> alt.Chart:
    tips = [
        alt.Tooltip("utcyearmonthdatehoursminutes(time):T", title="time"),
        alt.Tooltip("value:Q", title=label, format=",.5~g"),
        alt.Tooltip("what:N"),
    ]
    marks = alt.Chart(frame).mark_line(
        strokeWidth=2,
        point=alt.OverlayMarkDef(size=60) if len(frame) == 1 else False,
        strokeDash=[5, 3] if name == CAME else [1, 0],
    )
    found: alt.Chart = marks.encode(
        x=x, y=alt.Y("value:Q", title=label, scale=scale), color=colour, tooltip=tips
    )
    return found
