"""The stock of a made-up dealer group: cars that come in, lose value while they stand, and are sold."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from demo.showroom import (
    AUTOMATIC,
    DIESEL,
    ELECTRIC,
    FUEL_FACTOR,
    HYBRID,
    MODELS,
    PETROL,
    TRIMS,
    Engine,
    Model,
)
from demo.world import stream

PER_MONTH = 345
MEAN_DAYS, LONGEST_DAYS = 110.0, 360
NO_YEAR, NO_MILEAGE, NO_PRICE = 0.03, 0.06, 0.01
NOISE = 0.06
DEALERS = ("Caen", "Rouen", "Le Havre", "Évreux", "Saint-Lô", "Dieppe", "Alençon", "Lisieux")


@dataclass(frozen=True)
class Car:
    """One listing. `year` and `mileage_km` are None where the page does not show them."""

    number: int
    make: str
    model: str
    version: str
    fuel: str
    engine_l: float | None
    power_hp: int
    gearbox: str
    registered: date
    year: int | None
    mileage_km: int | None
    dealer: str
    on_request: bool
    asked_eur: float
    listed: datetime
    sold: datetime

    def price_eur(self, now: datetime) -> int:
        """What is asked at `now`: 3 % less after 45 days, 7 % less after 100; whole tens."""
        days = (now - self.listed).days
        cut = 0.93 if days >= 100 else 0.97 if days >= 45 else 1.0
        return int(round(self.asked_eur * cut, -1))


def on_sale(seed: int, now: datetime) -> list[Car]:
    """The cars that stand in the yards at the last nightly update before `now`, cheapest first."""
    at = updated(now)
    months = {((at - timedelta(days=d)).year, (at - timedelta(days=d)).month) for d in range(0, 400, 10)}
    cars = [car for month in sorted({*months, (at.year, at.month)}) for car in arrivals(seed, *month)]
    there = [car for car in cars if car.listed <= at < car.sold]
    return sorted(there, key=lambda car: (car.price_eur(at), car.number))


def updated(now: datetime) -> datetime:
    """The last nightly update of the dealer's site: 04:00 UTC."""
    today = now.astimezone(UTC).replace(hour=4, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


@functools.lru_cache(maxsize=64)
def arrivals(seed: int, year: int, month: int) -> tuple[Car, ...]:
    """All cars that come in during a month."""
    rng = stream(seed, "cars", year, month)
    first = datetime(year, month, 1, tzinfo=UTC)
    length = ((first + timedelta(days=32)).replace(day=1) - first).total_seconds()
    base = ((year - 2000) * 12 + month) * 1000
    n = min(int(rng.poisson(PER_MONTH)), 999)
    return tuple(
        _car(rng, base + i, first + timedelta(seconds=float(rng.uniform(0, length)))) for i in range(n)
    )


def _car(rng: np.random.Generator, number: int, listed: datetime) -> Car:
    model = MODELS[int(rng.integers(len(MODELS)))]
    engine = model.engines[int(rng.integers(len(model.engines)))]
    trim, dearer = TRIMS[int(rng.integers(len(TRIMS)))]
    gearbox = _gearbox(rng, model, engine)
    age = float(min(0.3 + rng.gamma(2.2, 1.6), 11.0))
    per_year = 9_500 + 5_500 * (engine.fuel == DIESEL)
    mileage = int(max(10, age * per_year * rng.lognormal(0, 0.28)))
    new = (
        model.new_eur
        * (1 + 0.0025 * (engine.power_hp - 100))
        * FUEL_FACTOR[engine.fuel]
        * dearer
        * (1.0 if gearbox.startswith("BVM") or engine.fuel == ELECTRIC else 1.06)
    )
    worth = new * 0.97 * model.kept**age * np.exp(-3.5e-6 * (mileage - age * per_year) - 1.2e-6 * mileage)
    registered = (listed - timedelta(days=age * 365.25)).date()
    words = [model.name.title() if len(model.name) > 3 else model.name, engine.name, f"{engine.power_hp} ch"]
    if engine.fuel in (PETROL, DIESEL) and rng.uniform() < 0.5:
        words.append("S&S")
    return Car(
        number=number,
        make=model.make,
        model=model.name,
        version=" ".join([*words, gearbox, trim]),
        fuel=engine.fuel,
        engine_l=engine.litres,
        power_hp=engine.power_hp,
        gearbox=gearbox,
        registered=registered,
        year=None if rng.uniform() < NO_YEAR else registered.year,
        mileage_km=None if rng.uniform() < NO_MILEAGE else mileage,
        dealer=DEALERS[int(rng.integers(len(DEALERS)))],
        on_request=bool(rng.uniform() < NO_PRICE),
        asked_eur=float(worth * np.exp(rng.normal(0, NOISE))),
        listed=listed,
        sold=listed + timedelta(days=float(np.clip(rng.exponential(MEAN_DAYS), 3, LONGEST_DAYS))),
    )


def _gearbox(rng: np.random.Generator, model: Model, engine: Engine) -> str:
    if engine.fuel in (ELECTRIC, HYBRID):
        return AUTOMATIC[model.make] if engine.fuel == HYBRID else "BVA"
    if rng.uniform() < 0.25 + 0.003 * max(engine.power_hp - 90, 0):
        return AUTOMATIC[model.make]
    return "BVM6" if engine.power_hp >= 95 else "BVM5"
