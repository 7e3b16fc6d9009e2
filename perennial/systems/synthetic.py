"""The smallest complete system: a generated classification problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.config import GeneratorSource, Source
from perennial.errors import InputError
from perennial.systems import System, no_features
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config_features import Features


def contract(source: Source, features: Features | None = None) -> Contract:
    """Numbered features without a unit, and the class as text."""
    no_features("synthetic", features)
    from perennial.data.generate import feature_names

    knobs = _generator(source)
    return Contract(
        system="synthetic",
        columns=(
            Column("id", "text", "digest of the sample's content", role="id"),
            *(
                Column(name, "number", f"feature {n} of the generated sample", unit="1")
                for n, name in enumerate(feature_names(knobs), start=1)
            ),
            Column(
                "label",
                "category",
                "class that the sample was drawn from",
                role="target",
                categories=tuple(sorted(f"class_{n}" for n in range(knobs.classes))),
            ),
        ),
    )


def collect(source: Source, seed: int) -> pd.DataFrame:
    """Freshly generated samples; the same for the same seed."""
    from perennial.data.generate import generate

    return generate(_generator(source), seed)


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """The samples as they are: what is generated needs no features made from it."""
    return records.copy()


def _generator(source: Source) -> GeneratorSource:
    if not isinstance(source, GeneratorSource):
        raise InputError(f"system synthetic: expected source.kind to be generator, found {source.kind}")
    return source


SYSTEM = System(
    name="synthetic",
    title="class of a generated sample",
    task="classification",
    contract=contract,
    collect=collect,
    prepare=prepare,
)
