"""What every section of a config is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def option(default: Any = ..., *, about: str, unit: str = "", **bounds: Any) -> Any:
    """A config field with a description and a unit; without `default` it must be given."""
    if isinstance(default, (list, dict)) or callable(default):
        bounds["default_factory"] = default if callable(default) else lambda: type(default)(default)
    else:
        bounds["default"] = default
    return Field(description=about, json_schema_extra={"unit": unit}, **bounds)


def is_reference(value: str) -> str:
    """`value`, if it names a secret instead of holding it; raises ValueError without repeating it."""
    if not value.startswith("env:") or len(value) < 5:
        raise ValueError(
            "expected a reference such as env:NAME, found a literal value; keep secrets out of files"
        )
    return value


SecretReference = Annotated[str, AfterValidator(is_reference)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A part of a config: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
