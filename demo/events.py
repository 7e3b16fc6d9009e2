"""Events of the catalogue as they are known at a moment, as CSV lines and GeoJSON features."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from demo import quakes

HEADER = (
    "time,latitude,longitude,depth,mag,magType,nst,gap,dmin,rms,net,id,updated,place,type,horizontalError,"
    "depthError,magError,magNst,status,locationSource,magSource"
)
SIDES = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")


class Event(NamedTuple):
    """One event as it is known at a moment; times in milliseconds since 1970."""

    id: str
    time_ms: int
    updated_ms: int
    latitude: float
    longitude: float
    depth_km: float
    magnitude: float
    place: str
    kind: str
    status: str
    magnitude_kind: str
    stations: int | None
    gap_degrees: int | None
    nearest_degrees: float | None
    rms_s: float


def current(known: quakes.Catalogue, now: datetime) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Magnitude, depth (km) and time of the last change (ms) as they stand at `now`."""
    revised = known.revised_ms <= quakes.milliseconds(now)
    return (
        np.where(revised, known.later_magnitude, known.first_magnitude),
        np.where(revised, known.later_depth_km, known.first_depth_km),
        np.where(revised, known.revised_ms, known.published_ms),
    )


def at(seed: int, now: datetime, which: np.ndarray) -> Iterator[Event]:
    """The published events at these positions, as they stand at `now`."""
    known = quakes.published(seed, now).take(which)
    magnitude, depth, updated = current(known, now)
    # What nobody learns from is drawn from the event's own number: it never changes.
    chance = (known.number * 2_654_435_761 % 2**32) / 2**32
    for i in range(which.size):
        u, final = float(chance[i]), bool(updated[i] != known.published_ms[i])
        yield Event(
            id=_id(int(known.number[i])),
            time_ms=int(known.time_ms[i]),
            updated_ms=int(updated[i]),
            latitude=float(known.latitude[i]),
            longitude=float(known.longitude[i]),
            depth_km=float(depth[i]),
            magnitude=float(magnitude[i]),
            place=_place(int(known.fault[i]), float(known.latitude[i]), float(known.longitude[i])),
            kind="volcanic eruption" if u < 0.002 else "earthquake",
            status="reviewed" if final or u > 0.05 else "automatic",
            magnitude_kind="mww" if magnitude[i] >= 5.5 else ("mb", "mb", "mwr")[int(u * 1000) % 3],
            stations=int(20 + 300 * u) if u > 0.55 else None,
            gap_degrees=int(20 + 160 * ((u * 7) % 1)) if (u * 7) % 1 > 0.01 else None,
            nearest_degrees=round(0.2 + 9 * ((u * 13) % 1), 3) if (u * 13) % 1 > 0.14 else None,
            rms_s=round(0.4 + 0.9 * ((u * 17) % 1), 2),
        )


def _id(number: int) -> str:
    year, rest = divmod(number, 100_000)
    return f"us{year - 2014 + 6000}{np.base_repr(rest, 36).lower():0>4}"


def _place(fault: int, latitude: float, longitude: float) -> str:
    """Distance and direction from the fault's town, or the region alone where the town is far."""
    f = quakes.FAULTS[fault]
    north = (latitude - f.town_at[0]) * quakes.KM_PER_DEGREE
    turn = (longitude - f.town_at[1] + 180) % 360 - 180
    east = turn * quakes.KM_PER_DEGREE * np.cos(np.radians(latitude))
    distance = float(np.hypot(north, east))
    if distance > 500:
        return f.region
    side = SIDES[round(float(np.degrees(np.arctan2(east, north))) / 22.5) % 16]
    return f"{distance:.0f} km {side} of {f.town}, {f.region}"


def csv_line(e: Event) -> str:
    """One line under HEADER."""
    stations = "" if e.stations is None else e.stations
    gap = "" if e.gap_degrees is None else e.gap_degrees
    nearest = "" if e.nearest_degrees is None else e.nearest_degrees
    place = f'"{e.place}"' if "," in e.place else e.place
    return (
        f"{_iso(e.time_ms)},{e.latitude},{e.longitude},{e.depth_km},{e.magnitude},{e.magnitude_kind},{stations},"
        f"{gap},{nearest},{e.rms_s},us,{e.id},{_iso(e.updated_ms)},{place},{e.kind},{4 + 8 * e.rms_s:.2f},1.8,,,"
        f"{e.status},us,us"
    )


def feature(e: Event) -> dict[str, object]:
    """One GeoJSON feature."""
    page = "https://earthquake.usgs.gov"
    return {
        "type": "Feature",
        "properties": {
            "mag": e.magnitude,
            "place": e.place,
            "time": e.time_ms,
            "updated": e.updated_ms,
            "tz": None,
            "url": f"{page}/earthquakes/eventpage/{e.id}",
            "detail": f"{page}/fdsnws/event/1/query?eventid={e.id}&format=geojson",
            "felt": None,
            "cdi": None,
            "mmi": None,
            "alert": None,
            "status": e.status,
            "tsunami": int(e.magnitude >= 7),
            "sig": round(e.magnitude**2 * 15.4),
            "net": "us",
            "code": e.id[2:],
            "ids": f",{e.id},",
            "sources": ",us,",
            "types": ",origin,phase-data,",
            "nst": e.stations,
            "dmin": e.nearest_degrees,
            "rms": e.rms_s,
            "gap": e.gap_degrees,
            "magType": e.magnitude_kind,
            "type": e.kind,
            "title": f"M {e.magnitude} - {e.place}",
        },
        "geometry": {"type": "Point", "coordinates": [e.longitude, e.latitude, e.depth_km]},
        "id": e.id,
    }


def _iso(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
