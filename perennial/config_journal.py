"""The typed form of the `journal` section: where predictions are kept, for how long, and when trouble is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from perennial.config_section import Section, is_reference, option


def is_journal(value: str) -> str:
    """`value`, if it is `off`, a file, or a reference; raises ValueError without repeating it.

    >>> is_journal("off"), is_journal("journal/cars.sqlite"), is_journal("env:JOURNAL_URL")
    ('off', 'journal/cars.sqlite', 'env:JOURNAL_URL')
    """
    if value.startswith("env:"):
        return is_reference(value)
    scheme, colon, _ = value.partition("://")
    if colon and scheme != "sqlite":
        raise ValueError(
            "expected off, a file, sqlite:///FILE, or a reference such as env:NAME to the URL of a database; keep "
            "secrets out of files"
        )
    return value


def as_text(value: object) -> object:
    """`value`, but the text `off` for what YAML makes of it."""
    return "off" if value is False else value


class Journal(Section):
    """The log of predictions, and of what really happened."""

    address: Annotated[str, BeforeValidator(as_text), AfterValidator(is_journal)] = option(
        "",
        about="a file, env:NAME of a variable that holds a postgresql:// URL, or off; none means "
        "PERENNIAL_JOURNAL, else the system's file in the state folder",
    )
    keep_days: float = option(
        400.0, about="age after which predictions are deleted; 0 for no limit", unit="days", ge=0
    )
    keep_mb: float = option(
        20_000.0,
        about="size of a system's journal above which the oldest predictions are deleted; 0 for no limit",
        unit="MB",
        ge=0,
    )
    alert_after_s: float = option(
        10.0,
        about="how long the journal cannot be written before people are told; six times as long it works again "
        "before they are told that",
        unit="s",
        gt=0,
    )
