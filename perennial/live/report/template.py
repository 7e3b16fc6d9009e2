"""Templates of pages, filled in: everything is escaped but our own drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perennial.live.report import text


def filled(path: Path, **values: Any) -> str:
    """The Jinja template at `path` with `values`, which are escaped; a name that is not given raises.

    Templates have the filters of `perennial.live.report.text`, `svg` for safe markup, and the functions
    `count`, `share` and `interval`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=text.number_text,
        fixed=text.fixed_text,
        percent=text.percent_text,
        p_value=text.p_value_text,
        metric=text.metric_text,
        metric_title=text.metric_title,
        time=text.time_text,
        svg=Markup,
    )
    environment.globals.update(count=text.count_text, share=text.share_text, interval=text.interval_text)
    return environment.get_template(path.name).render(**values)
