"""Every shipped config loads; every misspelt one fails with the right sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from perennial.config import Config
from perennial.config_file import dotted, leaves, load, secret
from perennial.config_stack import Stack
from perennial.errors import ConfigError, InputError

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS = sorted((ROOT / "configs").glob("*.yaml"))
WITH_BASE = sorted(p for f in ("demo", "files", "sites") for p in (ROOT / "configs" / f).glob("*.yaml"))
STACKS = sorted((ROOT / "configs" / "stacks").glob("*.yaml"))


def schema_of(path: Path) -> type[BaseModel]:
    return Stack if path.parent.name == "stacks" else Config


FREE = ("parameters", "columns", "floors", "ceilings", "feeds", "fields", "min_fill", "translate", "headers")


def keys(node: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every key of a YAML tree that the schema, and not the user, chose."""
    if at and at[-1] == "parameters":
        return []
    if isinstance(node, dict):
        free = at and at[-1] in FREE
        found = [] if free else [(*at, k) for k in node]
        return found + [k for name, v in node.items() for k in keys(v, (*at, name))]
    if isinstance(node, list):
        return [k for i, v in enumerate(node) for k in keys(v, (*at, i))]
    return []


@pytest.mark.parametrize("path", SYSTEMS + WITH_BASE + STACKS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_shipped_config_loads(path: Path) -> None:
    loaded = load(path, schema_of(path))
    assert set(loaded.origins) == {dotted(key) for key, _ in leaves(loaded.config)}
    assert any(origin.startswith(str(path)) for origin in loaded.origins.values())


@pytest.mark.parametrize("path", SYSTEMS + STACKS, ids=lambda p: p.stem)
def test_every_misspelt_key_is_refused_with_its_line_and_the_right_name(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    for key in keys(yaml.safe_load(text)):
        values = yaml.safe_load(text)
        at = values
        for part in key[:-1]:
            at = at[part]
        right = str(key[-1])
        if right == "kind":
            continue
        at[right + "x"] = at.pop(right)
        wrong = tmp_path / path.name
        wrong.write_text(yaml.safe_dump(values, sort_keys=False))
        with pytest.raises(ConfigError) as error:
            load(wrong, schema_of(path))
        line = next(i for i, row in enumerate(wrong.read_text().splitlines(), 1) if f"{right}x:" in row)
        assert f"{wrong}:{line}: unknown key" in str(error.value)
        assert f"did you mean '{right}'?" in str(error.value)


def test_all_violations_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "system: synthetic\nseed: -1\nsource: {kind: generator, rows: many}\nsplit: {kind: tim}\nlern: {}\n"
    )
    with pytest.raises(ConfigError) as error:
        load(path, Config)
    found = str(error.value)
    for part in (
        "c.yaml:2",
        "seed",
        "c.yaml:3",
        "source.rows",
        "'many'",
        "did you mean 'time'?",
        "'learn'",
        "expected learn",
    ):
        assert part in found
    assert len(error.value.violations) == 5


def test_settings_are_laid_over_the_file_and_said_so() -> None:
    loaded = load(SYSTEMS[0], Config, ["learn.folds=4", "learn.candidates.0.trials=9", "serve.port=3111"])
    assert (loaded.config.learn.folds, loaded.config.learn.candidates[0].trials) == (4, 9)
    assert [loaded.origins[k] for k in ("learn.folds", "serve.port", "serve.host")] == [
        "--set",
        "--set",
        "default",
    ]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("learn.fold=4", "did you mean 'folds'"),
        ("nonsense", "expected key=value"),
        ("learn.folds=two", "found 'two'"),
        ("learn.candidates.99.trials=1", "expected a key that exists"),
        ("=3", "expected key=value"),
    ],
)
def test_a_wrong_setting_is_refused(setting: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match="--set") as error:
        load(SYSTEMS[0], Config, [setting])
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected sections"),
        ("- a\n", "found list"),
        ("system: [unclosed\n", "expected valid YAML"),
        ("system: a\nsystem: b\n", "expected system once, found it again"),
        ("system: \x00\n", "expected"),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load(path, Config)


def test_a_missing_file_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'synthetic\.yaml'"):
        load(ROOT / "configs" / "syntetic.yaml", Config)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*Config.model_fields, "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
            ),
            max_leaves=6,
        ),
    )
)
def test_no_file_gets_another_error_than_ours(tmp_path_factory: pytest.TempPathFactory, values: dict) -> None:
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError):
        load(path, Config)


def sections(model: type[BaseModel]) -> set[type[BaseModel]]:
    def models(annotation: object) -> set[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return sections(annotation)
        return {m for a in getattr(annotation, "__args__", ()) for m in models(a)}

    return {model} | {m for f in model.model_fields.values() for m in models(f.annotation)}


@pytest.mark.parametrize("section", sorted(sections(Config) | sections(Stack), key=lambda s: s.__name__))
def test_every_field_has_a_description_and_a_unit(section: type[BaseModel]) -> None:
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name} has no description"
        assert isinstance(field.json_schema_extra, dict), f"{section.__name__}.{name} has no unit"
        numeric = field.annotation in (int, float)
        assert field.json_schema_extra["unit"] or not numeric or name == "seed", (
            f"{section.__name__}.{name}: unit?"
        )


def test_secrets_are_references_and_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.yaml"
    text = (ROOT / "configs" / "stacks" / "server.yaml").read_text()
    path.write_text(text.replace("env:ZENML_API_KEY", "hunter2-canary"))
    with pytest.raises(ConfigError) as error:
        load(path, Stack)
    assert "expected a reference such as env:NAME" in str(error.value)
    assert "canary" not in str(error.value)
    monkeypatch.delenv("ZENML_API_KEY", raising=False)
    with pytest.raises(InputError, match="ZENML_API_KEY"):
        secret("env:ZENML_API_KEY")
    monkeypatch.setenv("ZENML_API_KEY", "x")
    assert secret("env:ZENML_API_KEY") == "x"


def test_a_file_lies_over_its_base_section_by_section(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text((ROOT / "configs/used_cars.yaml").read_text())
    over = tmp_path / "over.yaml"
    over.write_text("base: base.yaml\nlearn:\n  folds: 7\nsource: {kind: generator}\n")
    loaded = load(over, Config)
    assert (loaded.config.learn.folds, loaded.config.learn.search_rows) == (7, 30_000)
    assert loaded.config.source.kind == "generator"
    assert loaded.origins["learn.folds"] == f"{over}:3"
    assert loaded.origins["learn.search_rows"].startswith(str(tmp_path / "base.yaml"))
    assert not any(
        origin.startswith(str(tmp_path / "base")) for key, origin in loaded.origins.items() if "source" in key
    )
    over.write_text("base: base.yaml\nlearn:\n  fold: 7\n")
    with pytest.raises(ConfigError, match=rf"{over}:3: unknown key learn.fold; did you mean 'folds'"):
        load(over, Config)
    (tmp_path / "base.yaml").write_text("base: over.yaml\n")
    with pytest.raises(ConfigError, match="base of itself"):
        load(over, Config)
