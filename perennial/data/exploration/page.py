"""An exploration as a page: size and times first, what to worry about, then every column and every pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.data.exploration import associations as pairs
from perennial.data.exploration import outliers as rules
from perennial.data.exploration.associations import Associations
from perennial.data.exploration.coverage import Coverage, Delay, span_text, span_unit
from perennial.data.exploration.drawings import WIDE, heat_map, missing_matrix, number_bars, time_bars
from perennial.data.exploration.evidently_summary import Summary
from perennial.data.exploration.histogram import Histogram
from perennial.data.exploration.missing import Pattern
from perennial.data.exploration.reading import FEWEST_SHOWN
from perennial.data.exploration.sections import Section, plain_text
from perennial.data.exploration.worries import Worry
from perennial.live.report.page import page
from perennial.live.report.template import filled
from perennial.live.report.text import number_text
from perennial.live.report.time_axis import moment

MOST_DRAWN = 200
MOST_GAPS = 10
MOST_PAIRS = 12
FIGURES = ("missing", "distinct", "mean", "std", "min", "25 %", "50 %", "75 %", "max")

STYLE = """
figure dl{display:grid;grid-template-columns:minmax(5.5rem,auto) 1fr;gap:.05rem 1rem;margin:.3rem 0 .5rem}
figure dt{overflow-wrap:anywhere}
figure dd{font-size:.9rem;overflow-wrap:anywhere}
dd.loud{color:var(--warn);font-weight:600}
.coverage{max-width:none}
.coverage .narrow{display:none}
@media (max-width:40rem){.coverage .wide{display:none}.coverage .narrow{display:block}}
svg .bar{stroke:none}
svg .gap{fill:var(--warn);fill-opacity:.28;stroke:none}
svg .empty{fill:var(--tint);stroke:none}
svg rect.main,svg rect.second,svg rect.base{stroke:none}
svg text.cell{font-size:10px}
td.when{white-space:nowrap}
svg text.label{fill:var(--ink)}
td.sentence{min-width:14rem}
th.name{overflow-wrap:anywhere;min-width:7rem;max-width:22rem}
"""


@dataclass(frozen=True)
class Views:
    """Everything that the page shows; `evidently_names` leads from Evidently's names to the columns' own."""

    title: str
    facts: Mapping[str, str]
    rows: int
    sampled: int
    seed: int
    worries: tuple[Worry, ...]
    sections: tuple[Section, ...]
    coverage: Coverage | None
    pattern: Pattern | None
    associations: Associations | None
    evidently: Summary
    evidently_names: Mapping[str, str]
    evidently_rows: int
    beside: str


def exploration_html(views: Views) -> str:
    """The page as one HTML document that needs neither network nor scripts; equal views give equal text."""
    body = filled(
        Path(__file__).with_name("exploration.html.jinja"),
        views=views,
        style=STYLE,
        lead=_lead(views),
        coverage_svg=_coverage_svg(views.coverage),
        delay_svg=_delay_svg(views.coverage),
        gap_rows=_gap_rows(views.coverage),
        drawn=views.sections[:MOST_DRAWN],
        missing_svg=missing_matrix("missing", "Where values are missing", views.pattern)
        if views.pattern
        else "",
        missing=sorted((s.seen for s in views.sections if s.seen.missing), key=lambda c: -c.missing),
        outlier_rows=_outlier_rows(views.sections),
        heat_svg=heat_map("pairs", "How columns go together", views.associations)
        if views.associations
        else "",
        pair_rows=_pair_rows(views.associations),
        evidently_rows=_evidently_rows(views),
        figures=FIGURES,
        day=lambda seconds: f"{moment(seconds):%Y-%m-%d %H:%M}",
        span=span_text,
        fewest=FEWEST_SHOWN,
        rules=rules,
        pairs=pairs,
    )
    html = page(f"{views.title}: exploration", body)
    return html.encode("utf-8", "replace").decode("utf-8")


def _lead(views: Views) -> str:
    """The verdict: how much there is to worry about."""
    serious = sum(w.weight == "serious" for w in views.worries)
    others = sum(w.weight == "look" for w in views.worries)
    if serious:
        return f"{serious} serious finding{'s' * (serious != 1)}" + (
            f", {others} more to look at." if others else "."
        )
    if others:
        return f"Nothing serious; {others} finding{'s' * (others != 1)} to look at."
    return "Nothing stands out."


def _coverage_svg(found: Coverage | None) -> dict[str, str]:
    """The plot of records over time for wide and for narrow screens."""
    if found is None:
        return {}
    gaps = found.gaps.found if found.gaps else ()
    title = f"Records over {found.column}"
    return {
        "wide": time_bars("coverage-wide", title, found.buckets, gaps, width=WIDE, height=190, tall=True),
        "narrow": time_bars("coverage-narrow", title, found.buckets, gaps, height=150, tall=True),
    }


def _delay_svg(found: Coverage | None) -> str:
    known: Delay | None = found.delay if found else None
    if known is None or known.drawn is None:
        return ""
    unit, length = span_unit(max(abs(known.drawn.low), abs(known.drawn.high)))
    drawn = Histogram(
        known.drawn.counts, known.drawn.low / length, known.drawn.high / length, known.drawn.beyond
    )
    plural = "s" if unit in ("day", "year") else ""
    return number_bars("delay", "Delay until records are known", drawn, f"delay ({unit}{plural})", zero=True)


def _gap_rows(found: Coverage | None) -> list[dict[str, str]]:
    if found is None or found.gaps is None:
        return []
    return [
        {
            "start": f"{moment(gap.start):%Y-%m-%d %H:%M}",
            "stop": f"{moment(gap.stop):%Y-%m-%d %H:%M}",
            "span": span_text(gap.stop - gap.start),
            "steps": f"{gap.steps:,}" if gap.steps else "",
        }
        for gap in found.gaps.found[:MOST_GAPS]
    ]


def _outlier_rows(sections: tuple[Section, ...]) -> list[dict[str, Any]]:
    """The columns with a value beyond a fence or a robust z above its bound, the heaviest first."""
    rows = [
        {
            "name": s.seen.name,
            "far": s.outliers,
            "low": plain_text(s.seen, s.outliers.low),
            "high": plain_text(s.seen, s.outliers.high),
            "furthest": number_text(s.outliers.furthest, 3),
        }
        for s in sections
        if s.outliers is not None and (s.outliers.out or s.outliers.distant)
    ]
    return sorted(rows, key=lambda r: (-r["far"].far_out / r["far"].values, -r["far"].out, r["name"]))


def _pair_rows(found: Associations | None) -> list[pairs.Pair]:
    """The strongest pairs, two times left out."""
    if found is None:
        return []
    kept = [p for p in found.pairs if not p.both_times and abs(p.value) >= 0.3]
    return sorted(kept, key=lambda p: -abs(p.value))[:MOST_PAIRS]


def _evidently_rows(views: Views) -> list[tuple[str, list[str]]]:
    """Evidently's figures by column, in the order of `FIGURES`."""
    rows = []
    for safe, figures in views.evidently.columns.items():
        shown = [figures.get(name, "") for name in FIGURES]
        rows.append(
            (
                views.evidently_names.get(safe, safe),
                [value if isinstance(value, str) else number_text(value) for value in shown],
            )
        )
    return rows
