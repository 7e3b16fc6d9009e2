"""A catalogue of earthquakes: a clustered point process on made-up faults, with later revisions.

Magnitudes follow Gutenberg and Richter (1944), aftershocks Omori and Utsu, productivity and branching Ogata (1988,
"Statistical models for earthquake occurrences", eq. 17): every event of magnitude m has on average
`PRODUCTIVITY * 10 ** (ALPHA * (m - LEAST))` direct aftershocks. Each year's mainshocks and all that follows from
them are drawn from a stream of their own, so that the past does not depend on where the catalogue ends.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from demo.world import stream

FIRST_YEAR = 2014
LEAST, GREATEST = 4.3, 9.0
MAINSHOCKS_PER_YEAR = 1_750
ALPHA, PRODUCTIVITY = 0.8, 0.113
OMORI_C_DAYS, OMORI_P, LONGEST_DAYS = 0.02, 1.1, 1_000.0
DAY_MS = 86_400_000
KM_PER_DEGREE = 111.2


class Fault(NamedTuple):
    """A straight stretch of a plate boundary and the town that places are told from."""

    region: str
    town: str
    town_at: tuple[float, float]
    start: tuple[float, float]
    end: tuple[float, float]
    depth_km: float
    weight: float


FAULTS = (
    Fault("Tonga", "Neiafu", (-18.65, -173.98), (-15.0, -172.8), (-23.5, -175.2), 120, 9),
    Fault("Fiji region", "Levuka", (-17.68, 178.84), (-17.0, 178.5), (-23.0, 180.0), 450, 6),
    Fault("Vanuatu", "Port-Vila", (-17.74, 168.31), (-12.5, 166.4), (-21.0, 170.0), 60, 7),
    Fault("Papua New Guinea", "Kokopo", (-4.35, 152.27), (-3.3, 143.0), (-6.5, 155.0), 50, 8),
    Fault("Indonesia", "Bengkulu", (-3.80, 102.27), (4.5, 95.0), (-8.0, 107.0), 35, 9),
    Fault("Indonesia", "Kupang", (-10.18, 123.58), (-8.6, 112.0), (-7.0, 129.5), 90, 7),
    Fault("Philippines", "Davao", (7.07, 125.61), (4.0, 126.8), (13.5, 124.5), 60, 6),
    Fault("Taiwan", "Hualien City", (23.97, 121.61), (22.3, 121.0), (24.8, 122.4), 20, 3),
    Fault("Japan", "Sendai", (38.27, 140.87), (34.5, 140.5), (42.5, 144.5), 40, 9),
    Fault("Russia", "Severo-Kuril'sk", (50.68, 156.12), (44.5, 149.5), (55.5, 162.5), 45, 7),
    Fault("Alaska", "Adak", (51.88, -176.66), (51.2, 178.0), (56.0, -156.0), 40, 6),
    Fault("California", "Petrolia", (40.33, -124.29), (32.5, -115.5), (40.4, -125.5), 10, 2),
    Fault("Mexico", "Pinotepa Nacional", (16.34, -98.05), (18.5, -103.5), (14.2, -93.0), 30, 4),
    Fault("El Salvador", "La Libertad", (13.49, -89.32), (13.8, -91.5), (10.0, -86.0), 45, 4),
    Fault("Peru", "Camana", (-16.62, -72.71), (-5.0, -80.8), (-17.5, -72.0), 45, 5),
    Fault("Chile", "Coquimbo", (-29.95, -71.34), (-18.5, -70.8), (-38.5, -73.8), 35, 8),
    Fault("South Sandwich Islands", "Grytviken", (-54.28, -36.51), (-55.0, -28.0), (-60.0, -26.5), 60, 5),
    Fault("Iran", "Kerman", (30.28, 57.08), (38.5, 45.0), (27.5, 57.0), 12, 3),
    Fault("Afghanistan", "Ashkasham", (36.68, 71.53), (36.2, 70.4), (38.4, 73.5), 160, 4),
    Fault("Turkey", "Erzincan", (39.75, 39.49), (40.7, 30.5), (38.3, 41.5), 10, 2),
    Fault("Greece", "Zacharo", (37.49, 21.65), (38.5, 20.3), (34.8, 26.5), 15, 2),
    Fault("New Zealand", "Gisborne", (-38.65, 178.00), (-41.5, 174.5), (-30.5, -178.2), 40, 5),
    Fault("Mid-Atlantic Ridge", "Ponta Delgada", (37.73, -25.67), (50.0, -29.5), (0.5, -28.0), 10, 5),
    Fault("Carlsberg Ridge", "Victoria", (-4.62, 55.45), (10.0, 57.0), (-5.0, 68.0), 10, 2),
)


@dataclass(frozen=True)
class Catalogue:
    """Events in the order of time, one array value each; times in milliseconds since 1970.

    `first_*` is what was published at `published_ms`, `later_*` what replaced it at `revised_ms` (an event that
    is never revised has the largest integer there).
    """

    time_ms: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    fault: np.ndarray
    number: np.ndarray
    published_ms: np.ndarray
    revised_ms: np.ndarray
    first_magnitude: np.ndarray
    later_magnitude: np.ndarray
    first_depth_km: np.ndarray
    later_depth_km: np.ndarray

    def take(self, which: np.ndarray) -> Catalogue:
        """The events at these positions."""
        return Catalogue(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


NEVER = np.iinfo(np.int64).max


@functools.lru_cache(maxsize=4)
def catalogue(seed: int, last_year: int) -> Catalogue:
    """All events that the mainshocks of the years up to `last_year` brought about."""
    years = [_year(seed, year) for year in range(FIRST_YEAR, last_year + 1)]
    whole = Catalogue(
        **{f.name: np.concatenate([getattr(y, f.name) for y in years]) for f in fields(Catalogue)}
    )
    return whole.take(np.argsort(whole.time_ms, kind="stable"))


def published(seed: int, now: datetime) -> Catalogue:
    """The events that anybody knew of at `now`."""
    known = catalogue(seed, now.year)
    return known.take(np.flatnonzero(known.published_ms <= milliseconds(now)))


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _year(seed: int, year: int) -> Catalogue:
    rng = stream(seed, "quakes", year)
    start = milliseconds(datetime(year, 1, 1, tzinfo=UTC))
    end = milliseconds(datetime(year + 1, 1, 1, tzinfo=UTC))
    n = rng.poisson(MAINSHOCKS_PER_YEAR)
    weights = np.array([f.weight for f in FAULTS], float)
    fault = rng.choice(len(FAULTS), n, p=weights / weights.sum())
    days = rng.uniform(0, (end - start) / DAY_MS, n)
    latitude, longitude = _on_faults(rng, fault)
    generations = [(days, _magnitudes(rng, n), latitude, longitude, fault)]
    while generations[-1][0].size:
        generations.append(_aftershocks(rng, *generations[-1]))
    days, magnitude, latitude, longitude, fault = (np.concatenate(a) for a in zip(*generations, strict=True))
    return _reported(
        rng, start + (days * DAY_MS).astype(np.int64), magnitude, latitude, longitude, fault, year
    )


def _magnitudes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Gutenberg and Richter with b = 1 between LEAST and GREATEST, by inversion."""
    return LEAST - np.log10(1 - rng.uniform(size=n) * (1 - 10 ** (LEAST - GREATEST)))


def _on_faults(rng: np.random.Generator, fault: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes (degrees), scattered around the faults; longitudes may pass 180."""
    start = np.array([f.start for f in FAULTS])[fault]
    end = np.array([f.end for f in FAULTS])[fault]
    # A fault across the date line is drawn on the side where it is short.
    end[:, 1] += np.where(
        end[:, 1] - start[:, 1] > 180, -360, np.where(start[:, 1] - end[:, 1] > 180, 360, 0)
    )
    along = rng.beta(0.8, 0.8, fault.size)[:, None]
    at = start + along * (end - start) + rng.normal(0, 0.6, (fault.size, 2))
    return at[:, 0], at[:, 1]


def _aftershocks(
    rng: np.random.Generator,
    days: np.ndarray,
    magnitude: np.ndarray,
    latitude: np.ndarray,
    longitude: np.ndarray,
    fault: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """The next generation: children of every event, later and nearby."""
    parent = np.repeat(np.arange(days.size), rng.poisson(PRODUCTIVITY * 10 ** (ALPHA * (magnitude - LEAST))))
    n = parent.size
    tail = 1 - (1 + LONGEST_DAYS / OMORI_C_DAYS) ** (1 - OMORI_P)
    wait = OMORI_C_DAYS * ((1 - rng.uniform(size=n) * tail) ** (1 / (1 - OMORI_P)) - 1)
    reach_km = 10 ** (0.43 * magnitude[parent] - 1.3)
    distance = reach_km * ((1 - rng.uniform(size=n) * 0.97) ** (-1 / 1.5) - 1) / KM_PER_DEGREE
    direction = rng.uniform(0, 2 * np.pi, n)
    there = latitude[parent] + distance * np.sin(direction)
    return (
        days[parent] + wait,
        _magnitudes(rng, n),
        there,
        longitude[parent] + distance * np.cos(direction) / np.maximum(np.cos(np.radians(there)), 0.2),
        fault[parent],
    )


def _reported(
    rng: np.random.Generator,
    time_ms: np.ndarray,
    magnitude: np.ndarray,
    latitude: np.ndarray,
    longitude: np.ndarray,
    fault: np.ndarray,
    year: int,
) -> Catalogue:
    """What the network makes of the events: two figures each, and when each was told."""
    n = time_ms.size
    told = time_ms + (rng.uniform(6, 40, n) * 60_000).astype(np.int64)
    late = told + (np.minimum(rng.lognormal(np.log(3), 1.6, n), 300) * DAY_MS).astype(np.int64)
    revised = rng.uniform(size=n) < 0.35
    shift = np.where(rng.uniform(size=n) < 0.4, rng.normal(0, 0.12, n), 0.0)
    depth = rng.gamma(2.0, np.array([f.depth_km for f in FAULTS])[fault] / 2)
    guessed = np.where(rng.uniform(size=n) < 0.3, 10.0, depth + rng.normal(0, 4, n))
    return Catalogue(
        time_ms=time_ms,
        latitude=np.clip(latitude, -89, 89).round(4),
        longitude=((longitude + 180) % 360 - 180).round(4),
        fault=fault,
        number=year * 100_000 + np.arange(n),
        published_ms=told,
        revised_ms=np.where(revised, late, NEVER),
        first_magnitude=np.where(revised, magnitude + shift, magnitude).round(1),
        later_magnitude=magnitude.round(1),
        first_depth_km=np.where(revised, guessed, depth).clip(0, 690).round(2),
        later_depth_km=depth.clip(0, 690).round(2),
    )
