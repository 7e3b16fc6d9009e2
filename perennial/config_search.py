"""The typed form of `learn.search`: how draws from the candidates' search spaces are made and scored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perennial.config_section import Section, option


class RandomSearch(Section):
    """Random draws, each scored on every fold and with all rows."""

    kind: Literal["random"] = option("random", about="tag of this variant")


class HalvingSearch(Section):
    """Random draws, all scored on few rows first; the better ones go on to more (successive halving)."""

    kind: Literal["halving"] = option("halving", about="tag of this variant")
    factor: float = option(
        4.0,
        about="one draw in how many goes on to the next round, with that many times the rows",
        unit="1",
        ge=2,
    )
    least_rows: int = option(
        1000, about="fewest training rows of a fold that a round may use", unit="rows", ge=50
    )


class OptunaSearch(Section):
    """Draws that follow what did well so far (Optuna's TPE); those that do badly are dropped after a fold."""

    kind: Literal["optuna"] = option("optuna", about="tag of this variant")
    pruner: Literal["median", "hyperband"] = option("median", about="what drops a trial after a fold")
    at_once: int = option(
        4,
        about="trials drawn before any of them is scored; more keep more workers busy, fewer learn faster",
        unit="trials",
        ge=1,
    )


Search = Annotated[RandomSearch | HalvingSearch | OptunaSearch, Field(discriminator="kind")]
