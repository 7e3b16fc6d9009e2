"""The typed form of the `features` section: what rows a system's table has, and what is known in each."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from perennial.config_section import Section, option


class SeriesFeatures(Section):
    """Rows of a series: at every origin, one per step of the horizon."""

    kind: Literal["series"] = option("series", about="tag of this variant")
    step_minutes: int = option(60, about="length of a step", unit="min", ge=1, le=1440)
    horizon_hours: float = option(48.0, about="how far ahead every origin looks", unit="h", gt=0)
    every_hours: float = option(
        24.0, about="time between origins, counted from midnight UTC", unit="h", gt=0, le=168
    )
    first_hour: float = option(
        0.0, about="when origins are, if not at midnight UTC: hours after it", unit="h", ge=0, lt=24
    )
    zone: str = option("UTC", about="time zone of the people whose days and weeks the series follows")
    country: str = option(
        "", about="country whose holidays count (ISO 3166, such as DE); none for no holidays"
    )
    lags: Literal["difference", "ratio"] = option(
        "difference",
        about="how earlier values are told: their difference from the mean of the last week, or their ratio to it "
        "(for a series that never nears zero)",
    )
    given: tuple[str, ...] = option(
        (),
        about="fields of further feeds, as FEED.FIELD, that are known for the hour that is predicted, such as a "
        "weather forecast; only what was available at the origin is used",
    )
    degree_days: bool = option(
        True,
        about="whether given temperatures (unit degC) are told as degree days too; a short history has no use",
    )

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("expected a time zone such as Europe/Paris") from error
        return value


class DailyFeatures(Section):
    """Rows of a day: what a sentiment index or a price will be some days later."""

    kind: Literal["daily"] = option("daily", about="tag of this variant")
    target: Literal["index", "close"] = option(
        "index", about="what is predicted: the index, or bitcoin's close"
    )
    horizon_days: int = option(1, about="how many days ahead", unit="days", ge=1, le=90)


class CellFeatures(Section):
    """Rows of a cell of the world and a window of time."""

    kind: Literal["cells"] = option("cells", about="tag of this variant")
    cell_deg: float = option(2.0, about="height and width of a cell", unit="degrees", gt=0, le=30)
    window_days: int = option(30, about="length of a window", unit="days", ge=1, le=3650)
    magnitude: float = option(5.0, about="least magnitude of an event that counts", unit="magnitude")


Features = Annotated[SeriesFeatures | DailyFeatures | CellFeatures, Field(discriminator="kind")]
