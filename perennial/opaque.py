"""Values that pass between steps whole."""

from __future__ import annotations

from typing import Any


class Opaque:
    """Tells pydantic to check the type of a value and look no further; costs nothing where it is absent."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """An instance check, instead of a schema of the fields."""
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)
