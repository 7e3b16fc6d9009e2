"""What the made-up dealer group deals in: makes, models, engines and what they cost when new."""

from __future__ import annotations

from typing import NamedTuple

PETROL, DIESEL, ELECTRIC, HYBRID = "Essence", "Diesel", "Courant Electrique", "Essence / Courant Electrique"


class Engine(NamedTuple):
    """An engine; electric ones have no litres."""

    name: str
    litres: float | None
    power_hp: int
    fuel: str


class Model(NamedTuple):
    """A model with its price when new (EUR, with 100 hp) and how well it keeps its value."""

    make: str
    name: str
    new_eur: int
    kept: float
    engines: tuple[Engine, ...]


VW_PETROL = (
    Engine("1.0 TSI", 1.0, 95, PETROL),
    Engine("1.0 TSI", 1.0, 110, PETROL),
    Engine("1.5 TSI", 1.5, 150, PETROL),
)
VW_DIESEL = (Engine("2.0 TDI", 2.0, 115, DIESEL), Engine("2.0 TDI", 2.0, 150, DIESEL))
VW_HYBRID = (Engine("1.4 eHybrid", 1.4, 204, HYBRID),)
PSA_PETROL = (
    Engine("1.2 PureTech", 1.2, 75, PETROL),
    Engine("1.2 PureTech", 1.2, 100, PETROL),
    Engine("1.2 PureTech", 1.2, 130, PETROL),
)
PSA_DIESEL = (Engine("1.5 BlueHDi", 1.5, 100, DIESEL), Engine("1.5 BlueHDi", 1.5, 130, DIESEL))
PSA_HYBRID = (Engine("1.6 Hybrid", 1.6, 180, HYBRID),)
RENAULT_PETROL = (Engine("0.9 TCe", 0.9, 90, PETROL), Engine("1.3 TCe", 1.3, 140, PETROL))
RENAULT_DIESEL = (Engine("1.5 dCi", 1.5, 85, DIESEL), Engine("1.5 Blue dCi", 1.5, 115, DIESEL))
RENAULT_HYBRID = (Engine("1.6 E-Tech", 1.6, 140, HYBRID),)
TOYOTA = (
    Engine("1.5 VVT-i", 1.5, 111, PETROL),
    Engine("1.5 Hybride", 1.5, 116, HYBRID),
    Engine("1.8 Hybride", 1.8, 122, HYBRID),
)
FORD = (
    Engine("1.0 EcoBoost", 1.0, 100, PETROL),
    Engine("1.0 EcoBoost", 1.0, 125, PETROL),
    Engine("1.5 TDCi", 1.5, 120, DIESEL),
)
GERMAN = (
    Engine("1.5 TFSI", 1.5, 150, PETROL),
    Engine("2.0 TDI", 2.0, 150, DIESEL),
    Engine("2.0 TDI", 2.0, 190, DIESEL),
    Engine("2.0 TFSI", 2.0, 245, PETROL),
)
SMALL_ELECTRIC = (Engine("Électrique", None, 82, ELECTRIC), Engine("Électrique", None, 136, ELECTRIC))
LARGE_ELECTRIC = (Engine("Électrique", None, 204, ELECTRIC), Engine("Électrique", None, 286, ELECTRIC))

MODELS = (
    Model("VOLKSWAGEN", "UP", 13_500, 0.885, VW_PETROL[:1]),
    Model("VOLKSWAGEN", "POLO", 19_500, 0.885, VW_PETROL[:2]),
    Model("VOLKSWAGEN", "GOLF", 26_000, 0.88, VW_PETROL + VW_DIESEL + VW_HYBRID),
    Model("VOLKSWAGEN", "T-ROC", 27_000, 0.89, VW_PETROL + VW_DIESEL),
    Model("VOLKSWAGEN", "TIGUAN", 32_000, 0.88, VW_PETROL[2:] + VW_DIESEL + VW_HYBRID),
    Model("VOLKSWAGEN", "ID.3", 36_000, 0.84, LARGE_ELECTRIC[:1]),
    Model("SKODA", "FABIA", 17_500, 0.88, VW_PETROL[:2]),
    Model("SKODA", "OCTAVIA", 25_500, 0.875, VW_PETROL[2:] + VW_DIESEL),
    Model("SEAT", "IBIZA", 18_000, 0.87, VW_PETROL[:2]),
    Model("SEAT", "LEON", 24_000, 0.87, VW_PETROL + VW_DIESEL),
    Model("PEUGEOT", "208", 18_500, 0.875, PSA_PETROL + PSA_DIESEL[:1]),
    Model("PEUGEOT", "308", 24_500, 0.87, PSA_PETROL[1:] + PSA_DIESEL + PSA_HYBRID),
    Model("PEUGEOT", "3008", 31_000, 0.88, PSA_PETROL[2:] + PSA_DIESEL[1:] + PSA_HYBRID),
    Model("PEUGEOT", "E-208", 32_500, 0.83, SMALL_ELECTRIC[1:]),
    Model("CITROEN", "C3", 17_000, 0.865, PSA_PETROL + PSA_DIESEL[:1]),
    Model("CITROEN", "C5 AIRCROSS", 29_500, 0.865, PSA_PETROL[2:] + PSA_DIESEL[1:] + PSA_HYBRID),
    Model("RENAULT", "TWINGO", 14_000, 0.865, RENAULT_PETROL[:1]),
    Model("RENAULT", "CLIO", 18_000, 0.87, RENAULT_PETROL + RENAULT_DIESEL + RENAULT_HYBRID),
    Model("RENAULT", "MEGANE", 24_000, 0.86, RENAULT_PETROL[1:] + RENAULT_DIESEL[1:]),
    Model("RENAULT", "CAPTUR", 23_000, 0.875, RENAULT_PETROL + RENAULT_DIESEL[1:] + RENAULT_HYBRID),
    Model("RENAULT", "ZOE", 29_500, 0.80, SMALL_ELECTRIC),
    Model("DACIA", "SANDERO", 12_500, 0.90, RENAULT_PETROL[:1]),
    Model("DACIA", "DUSTER", 18_000, 0.90, RENAULT_PETROL[1:] + RENAULT_DIESEL[1:]),
    Model("TOYOTA", "YARIS", 19_500, 0.90, TOYOTA[:2]),
    Model("TOYOTA", "C-HR", 29_000, 0.89, TOYOTA[2:]),
    Model("FORD", "FIESTA", 17_500, 0.87, FORD[:2]),
    Model("FORD", "FOCUS", 23_500, 0.86, FORD),
    Model("FORD", "PUMA", 24_500, 0.88, FORD[:2]),
    Model("AUDI", "A3", 32_000, 0.88, GERMAN[:3]),
    Model("AUDI", "Q5", 48_000, 0.87, GERMAN[1:]),
    Model("BMW", "SERIE 1", 32_500, 0.87, GERMAN[:3]),
    Model("BMW", "X3", 50_000, 0.87, GERMAN[1:]),
)
TRIMS = (("Business", 0.98), ("Active", 1.0), ("Style", 1.05), ("GT Line", 1.11), ("Exclusive", 1.17))
FUEL_FACTOR = {PETROL: 1.0, DIESEL: 1.06, ELECTRIC: 1.0, HYBRID: 1.16}
AUTOMATIC = {
    "AUDI": "S tronic",
    "BMW": "BVA8",
    "CITROEN": "EAT8",
    "DACIA": "EDC7",
    "FORD": "BVA8",
    "PEUGEOT": "EAT8",
    "RENAULT": "EDC7",
    "SEAT": "DSG7",
    "SKODA": "DSG7",
    "TOYOTA": "CVT",
    "VOLKSWAGEN": "DSG7",
}
