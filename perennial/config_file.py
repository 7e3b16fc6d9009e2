"""From a YAML file and `--set` values to a checked section: every violation at once, each with its line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from perennial.errors import ConfigError, InputError, Violation, suggestion

Key = tuple[str | int, ...]
SectionT = TypeVar("SectionT", bound=BaseModel)


@dataclass(frozen=True)
class Loaded(Generic[SectionT]):
    """A checked config and, for every value in it, where that value came from.

    `written` holds what was given alone, at every depth: key -> file and line, or `--set`.
    """

    config: SectionT
    origins: Mapping[str, str]
    written: Mapping[str, str]

    def place(self, key: str) -> str:
        """Where a key was written, or the nearest section above it; the key itself where none of them was."""
        parts = key.split(".")
        above = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        return next((self.written[name] for name in above if name in self.written), key)


def load(path: str | Path, schema: type[SectionT], settings: Sequence[str] = ()) -> Loaded[SectionT]:
    """The config in the file at `path`, with `key=value` settings laid over it.

    Raises:
        ConfigError: naming file, line and key of everything that is wrong.
    """
    source = str(path)
    values, origins = _read_with_base(Path(path))
    for setting in settings:
        key, value = _parse_setting(source, setting)
        _place(source, values, key, value)
        origins = {k: o for k, o in origins.items() if k[: len(key)] != key} | {key: "--set"}
    try:
        config = schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(source, [_violation(e, origins, schema) for e in error.errors()]) from None
    return Loaded(
        config,
        {dotted(key): _origin(key, origins) for key, _ in leaves(config)},
        {dotted(key): origin for key, origin in origins.items()},
    )


def leaves(config: BaseModel) -> Iterator[tuple[Key, Any]]:
    """Every value of a config with its key, in the schema's order."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from (((name, *key), leaf) for key, leaf in leaves(value))
        elif isinstance(value, dict) and any(isinstance(item, BaseModel) for item in value.values()):
            for part, item in value.items():
                yield from (((name, part, *key), leaf) for key, leaf in leaves(item))
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for i, item in enumerate(value):
                yield from (((name, i, *key), leaf) for key, leaf in leaves(item))
        else:
            yield (name,), value


def dotted(key: Key) -> str:
    """A key as it is written after `--set`.

    >>> dotted(("learn", "candidates", 0, "name"))
    'learn.candidates.0.name'
    """
    return ".".join(str(part) for part in key)


def secret(reference: str) -> str:
    """The value that an `env:NAME` reference stands for; raises InputError where it is not set."""
    name = reference.removeprefix("env:")
    value = os.environ.get(name)
    if not value:
        raise InputError(
            f"expected the environment variable {name} to hold a secret, found it empty or unset; set it"
        )
    return value


def _read_with_base(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], dict[Key, str]]:
    """The values of a file laid over those of the file that its `base:` names, and where each was written."""
    if path.resolve() in above:
        problem = f"expected files that end somewhere, found {path.name} to be a base of itself"
        raise ConfigError(str(path), [Violation("base", problem)])
    values, lines = _read(path)
    origins = {key: f"{path}:{line}" for key, line in lines.items()}
    if "base" not in values:
        return values, origins
    base = values["base"]
    if not isinstance(base, str):
        raise ConfigError(
            str(path), [Violation(origins[("base",)], f"expected base to name a file, found {base!r}")]
        )
    below, written = _read_with_base(path.parent / base, (*above, path.resolve()))
    over = {key: value for key, value in values.items() if key != "base"}
    merged, replaced = _laid_over(below, over)
    kept = {k: o for k, o in written.items() if not any(k[: len(r)] == r for r in replaced)}
    return merged, kept | {k: o for k, o in origins.items() if k != ("base",)}


def _laid_over(below: dict[str, Any], over: dict[str, Any]) -> tuple[dict[str, Any], list[Key]]:
    """`below` with the values of `over`, section by section, and the keys that were replaced as a whole.

    A section of another kind replaces the one below it; so do lists and plain values.
    """
    merged, replaced = dict(below), list[Key]()
    for name, value in over.items():
        old = below.get(name)
        sections = isinstance(old, dict) and isinstance(value, dict)
        if sections and value.get("kind", below[name].get("kind")) == below[name].get("kind"):
            merged[name], inner = _laid_over(below[name], value)
            replaced += [(name, *key) for key in inner]
        else:
            merged[name] = value
            replaced.append((name,))
    return merged, replaced


def _read(path: Path) -> tuple[dict[str, Any], dict[Key, int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = [p.name for p in path.parent.glob("*.yaml")]
        near = suggestion(path.name, there) if there else ""
        raise ConfigError(str(path), [Violation("file", f"expected a YAML file, found none{near}")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(path), [Violation("file", f"expected readable UTF-8 text, found: {error}")]
        ) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        found = getattr(error, "problem", None) or str(error).splitlines()[0]
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(str(path), [Violation(where, f"expected valid YAML, found: {found}")]) from None
    if not isinstance(values, dict):
        problem = f"expected sections such as `system:` at the top, found {type(values).__name__}"
        raise ConfigError(str(path), [Violation(f"{path}:1", problem)])
    lines: dict[Key, int] = {}
    repeated = list(_walk(node, (), lines))
    if repeated:
        raise ConfigError(
            str(path), [Violation(f"{path}:{n}", f"expected {k} once, found it again") for k, n in repeated]
        )
    return values, lines


def _walk(node: yaml.Node | None, key: Key, lines: dict[Key, int]) -> Iterator[tuple[str, int]]:
    """Notes the line of every key in `lines`; yields the keys that stand twice in one mapping."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            inner = (*key, name.value)
            line = name.start_mark.line + 1
            if inner in lines:
                yield dotted(inner), line
            lines[inner] = line
            yield from _walk(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[(*key, i)] = item.start_mark.line + 1
            yield from _walk(item, (*key, i), lines)


def _parse_setting(source: str, setting: str) -> tuple[Key, Any]:
    name, equals, text = setting.partition("=")
    if not equals or not name.strip():
        raise ConfigError(source, [Violation("--set", f"expected key=value, found {setting!r}")])
    try:
        value = yaml.safe_load(text) if text else ""
    except (yaml.YAMLError, ValueError):
        value = text
    return tuple(int(p) if p.isdigit() else p for p in name.strip().split(".")), value


def _place(source: str, values: dict[str, Any], key: Key, value: Any) -> None:
    """Puts `value` at `key` inside the freshly read `values`, making the sections on the way."""
    at: Any = values
    for i, part in enumerate(key):
        last = i == len(key) - 1
        if isinstance(at, list) and isinstance(part, int) and part < len(at):
            if last:
                at[part] = value
            at = at[part]
        elif isinstance(at, dict):
            if last:
                at[part] = value
            elif not isinstance(at.get(part), (dict, list)):
                at[part] = {}
            at = at[part]
        else:
            problem = f"expected a key that exists, found nothing at {dotted(key[: i + 1])}"
            raise ConfigError(source, [Violation(f"--set {dotted(key)}", problem)])


def _origin(key: Key, origins: Mapping[Key, str]) -> str:
    """Where a value came from: its own line, that of the nearest section above it, or the default."""
    if key in origins:
        return origins[key]
    above = next(
        (origins[key[:n]] for n in range(len(key) - 1, 0, -1) if origins.get(key[:n]) == "--set"), None
    )
    return above or "default"


def _violation(error: Any, origins: Mapping[Key, str], schema: type[BaseModel]) -> Violation:
    """One pydantic error in our voice: file and line, key, what was expected, what was found."""
    written = _as_written(error["loc"], origins)
    where = next(
        (origins[written[:n]] for n in range(len(written), 0, -1) if written[:n] in origins), "top level"
    )
    name = dotted(written)
    if error["type"] == "extra_forbidden":
        known = _known_keys(schema, error["loc"][:-1])
        return Violation(where, f"unknown key {name}{suggestion(str(written[-1]), known)}")
    if error["loc"][-1] == "[key]":
        written = written[:-1]
        name = dotted(written)
    if error["type"] == "missing":
        return Violation(where, f"expected {name}, found nothing; add it")
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tags = error["ctx"].get("expected_tags") or "a tag"
        found = error["ctx"].get("tag", "none")
        near = suggestion(str(found), [t.strip(" '") for t in tags.split(",")])
        return Violation(where, f"{name}.kind: expected one of {tags}, found {found!r}{near}")
    message = error["msg"].removeprefix("Value error, ")
    found = "" if "secret" in message else f", found {error['input']!r}"
    return Violation(where, f"{name}: {message[0].lower()}{message[1:]}{found}")


def _as_written(location: Key, origins: Mapping[Key, str]) -> Key:
    """A pydantic location without the tags of unions, which are not written in the file."""
    key: Key = ()
    for part in location:
        tag_of_union = (*key, "kind") in origins and (*key, part) not in origins and part is not location[-1]
        if not tag_of_union:
            key = (*key, part)
    return key


def _known_keys(schema: Any, location: Key) -> list[str]:
    """The keys of the section that a pydantic location points into."""
    models = [schema]
    for part in location:
        following: list[Any] = []
        for model in models:
            field = model.model_fields.get(part) if isinstance(part, str) else None
            if field is not None:
                following += _models(field.annotation)
            elif isinstance(part, int) or _tag(model) == part:
                following.append(model)
        models = following or models
    return sorted({name for model in models for name in model.model_fields})


def _models(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in get_args(annotation) for m in _models(argument)]


def _tag(model: Any) -> str | None:
    field = model.model_fields.get("kind")
    return get_args(field.annotation)[0] if field is not None else None
