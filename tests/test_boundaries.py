"""Who may know whom: the picture of the house, held against the imports in the code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEAVES = {
    *("opaque", "table", "errors", "evidence", "home", "cron"),
    *("config", "config_section", "config_web", "config_file", "config_stack"),
}
ROOMS = ("systems", "data", "learn", "live")
TOP = ("perennial", "steps", "pipelines", "materializers", "bento", "dashboard", "demo", "commands", "ops")
MAY_IMPORT = {
    "perennial": {"perennial"},
    "materializers": {"perennial", "materializers"},
    "steps": {"perennial", "steps"},
    "pipelines": {"perennial", "steps", "materializers", "pipelines"},
    "bento": {"perennial", "bento"},
    "dashboard": {"perennial", "dashboard"},
    "demo": {"perennial", "bento", "demo"},
    "commands": {"perennial", "pipelines", "bento", "dashboard", "demo", "commands"},
    "ops": {"perennial", "ops"},
}
FOREIGN = {"zenml", "mlflow", "bentoml", "streamlit"}
SERVING = (
    "perennial/live/bundle.py",
    "perennial/live/predict.py",
    "perennial/live/rows.py",
    "perennial/table.py",
)
TRAINING_ONLY = {
    "zenml",
    "mlflow",
    "evidently",
    "sklearn",
    "lightgbm",
    "pandas",
    "scipy",
    "skops",
    "skl2onnx",
    "onnx",
}


def sources(*folders: str) -> list[Path]:
    return sorted(p for f in folders for p in (ROOT / f).rglob("*.py"))


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """The dotted names that a file imports; imports for type checkers do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else list(_executed(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrow; write the full name"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _executed(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _executed(child)


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def forbidden(path: Path) -> list[str]:
    """A sentence for every import of `path` that points back."""
    top = path.relative_to(ROOT).parts[0]
    wrong = []
    for name in imports(path):
        head, *rest = name.split(".")
        if head in TOP and head not in MAY_IMPORT[top]:
            wrong.append(f"{names(path)} imports {name}: {top}/ may import {sorted(MAY_IMPORT[top])} alone")
        if top == "perennial" and head in FOREIGN:
            wrong.append(f"{names(path)} imports {name}: perennial/ is plain Python")
        room = path.relative_to(ROOT).parts[1] if top == "perennial" else ""
        if (
            room in ROOMS
            and head == "perennial"
            and rest
            and rest[0] in ROOMS
            and ROOMS.index(rest[0]) < ROOMS.index(room)
        ):
            wrong.append(f"{names(path)} imports {name}: arrows point {' -> '.join(ROOMS)}")
        if (
            top == "perennial"
            and Path(room).stem in LEAVES
            and head == "perennial"
            and rest
            and rest[0] in ROOMS
        ):
            wrong.append(f"{names(path)} imports {name}: it is shared by all rooms, and knows none of them")
        if head == "mlflow" and names(path) != "steps/tracking.py":
            wrong.append(f"{names(path)} imports {name}: steps/tracking.py is the only importer of mlflow")
    return wrong


@pytest.mark.parametrize("path", sources(*MAY_IMPORT), ids=names)
def test_no_import_points_back(path: Path) -> None:
    assert forbidden(path) == []


def test_a_forbidden_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    backward = tmp_path / "perennial" / "live" / "bad.py"
    backward.parent.mkdir(parents=True)
    backward.write_text("from perennial.learn import tune\nimport zenml\nimport steps.fit\n")
    assert len(forbidden(backward)) == 4


@pytest.mark.parametrize(
    "path", sources("bento", "perennial/live/journal") + [ROOT / name for name in SERVING], ids=names
)
def test_serving_needs_no_training_library_at_import(path: Path) -> None:
    heavy = {name.split(".")[0] for name in imports(path, top_level_only=True)} & TRAINING_ONLY
    assert not heavy, f"{names(path)} imports {heavy} at module level"


@pytest.mark.parametrize("path", [ROOT / "run.py", *sources("commands")], ids=names)
def test_commands_import_nothing_heavy_at_module_level(path: Path) -> None:
    heavy = {"zenml", "mlflow", "pandas", "numpy", "sklearn", "bentoml", "pydantic", "rich", "yaml"}
    assert not {name.split(".")[0] for name in imports(path, top_level_only=True)} & heavy


def test_only_the_plugins_and_configs_know_a_system_by_name() -> None:
    systems = [p.stem for p in (ROOT / "perennial" / "systems").glob("*.py") if p.stem != "__init__"]
    for path in sources("perennial", "steps", "pipelines", "materializers", "bento"):
        if path.parent.name == "systems":
            continue
        strings = {n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)}
        assert not strings & set(systems), f"{names(path)} switches on a system's name"
