"""The README is true: its commands run in order and print what it shows. The documents keep to their rules."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import click
import numpy as np
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bento.process import free_port
from perennial.config import Config
from perennial.config_stack import Stack
from run import COMMANDS
from tests.listings import listings

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS, ROOT / "CONTRIBUTING.md"]
PARTS = (
    "perennial",
    "steps",
    "pipelines",
    "materializers",
    "commands",
    "configs",
    "bento",
    "dashboard",
    "demo",
    "ops",
    "run.py",
    "Makefile",
)
SKIPPED = {
    "make test": "this is make test",
    ". .venv/bin/activate": "the reader's shell; here PATH begins with the folder of this Python",
}
NUMBER = re.compile(r"\d[\d,.:]*(?:e[+-]?\d+)?")
WAIT_S = 90
READY = {"3000": "readyz", "8237": "health", "8765": "_demo/stats"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, and the last line of text before it."""

    language: str
    lines: tuple[str, ...]
    before: str


@dataclass(frozen=True)
class Command:
    """A command of a console block, and the output that is shown for it."""

    line: str
    shown: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    found, before, language = [], "", ""
    inside: list[str] | None = None
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if inside is None:
                language, inside = line[3:].strip(), []
            else:
                found.append(Block(language, tuple(inside), before))
                inside = None
        elif inside is not None:
            inside.append(line)
        elif line.strip():
            before = line.strip()
    assert inside is None, f"{page.name}: a block is not closed"
    return found


def commands(block: Block) -> list[Command]:
    """The commands after `$ `; a command goes on while a quote is open, everything else is output."""
    found: list[Command] = []
    for line in block.lines:
        if line.startswith("$ "):
            found.append(Command(line[2:], ()))
        elif found and not found[-1].shown and found[-1].line.count("'") % 2:
            found[-1] = Command(f"{found[-1].line}\n{line}", ())
        else:
            assert found, f"output without a command: {line}"
            found[-1] = Command(found[-1].line, (*found[-1].shown, line))
    return found


def plain(line: str) -> str:
    """A line without what differs from run to run: numbers, who ran it, and the width of columns."""
    line = re.sub(r"\S+@\S+,", "USER,", line.strip())
    return " ".join(NUMBER.sub("N", line).split())


def missing(shown: tuple[str, ...], output: str) -> list[str]:
    """The shown lines that the output does not have in this order; `...` stands for anything."""
    real = iter([plain(line) for line in output.splitlines()])
    absent = []
    for line in shown:
        wanted = plain(line)
        if wanted in ("", "..."):
            continue
        start = wanted.removesuffix(" ...")
        if not any(have == wanted or (start != wanted and have.startswith(start)) for have in real):
            absent.append(line)
            real = iter([plain(line) for line in output.splitlines()])
    return absent


def targets() -> dict[str, list[str]]:
    """Every target of the Makefile with its recipe."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "Makefile").read_text().splitlines():
        if name := re.match(r"([a-z]+):(?!=)", line):
            found[name[1]] = []
        elif line.startswith("\t") and found:
            found[list(found)[-1]].append(line.strip())
    return found


@dataclass
class Reader:
    """Someone who types the README's commands into a copy of the checkout, on ports of their own."""

    root: Path
    ports: dict[str, int] = field(default_factory=lambda: {port: free_port() for port in READY})
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        own = {
            "PERENNIAL_HOME": str(self.root / ".perennial"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "BROWSER": "true",
        }
        return {**os.environ, **own}

    def type(self, command: Command) -> None:
        """Runs one command, and fails the test unless it ends well and prints what is shown."""
        line = command.line
        if line in SKIPPED:
            return
        if line.startswith("make "):
            line = "\n".join(targets()[line.removeprefix("make ")]).replace("$(BIN)/", "")
        served = re.match(r"python (?:run\.py (?=serve|dashboard)|-m (?=demo))(\w+)", line)
        if served:
            default = {"serve": "3000", "dashboard": "8237", "demo": "8765"}[served[1]]
            output, code = self.serve(f"exec {line} --port {self.ports[default]}", default), 0
        else:
            for default, port in self.ports.items():
                line = line.replace(f"127.0.0.1:{default}", f"127.0.0.1:{port}")
            done = subprocess.run(
                ["sh", "-c", line],
                cwd=self.root,
                env=self.environment(),
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=200,
                check=False,
            )
            output, code = done.stdout, done.returncode
        expected = 2 if any(shown.startswith("error: ") for shown in command.shown) else 0
        assert code == expected, f"$ {command.line}\nended with {code}, not {expected}:\n{output}"
        absent = missing(command.shown, output)
        assert not absent, f"$ {command.line}\ndid not print {absent}, but:\n{output}"

    def serve(self, line: str, default: str) -> str:
        """Starts a server, waits until it answers, and returns the line that it greets with."""
        self.stop()
        server = subprocess.Popen(
            ["sh", "-c", line],
            cwd=self.root,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.servers.append(server)
        url = f"http://127.0.0.1:{self.ports[default]}/{READY[default]}"
        deadline = time.monotonic() + WAIT_S
        while True:
            assert server.poll() is None, f"{line} ended with {server.returncode}"
            try:
                with urllib.request.urlopen(url, timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < deadline, f"{line} does not answer at {url}"
                time.sleep(0.1)
        assert server.stdout is not None
        return server.stdout.readline()

    def stop(self) -> None:
        """Ends every server with all its children, as closing the terminal would."""
        for server in self.servers:
            if server.poll() is None:
                server.send_signal(signal.SIGINT)
                try:
                    server.wait(15)
                except subprocess.TimeoutExpired:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait()
        self.servers.clear()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader with a copy of the checkout and the two files that the README leaves to the reader."""
    for name in PARTS:
        copied = {"ignore": shutil.ignore_patterns("__pycache__")} if (ROOT / name).is_dir() else {}
        (shutil.copytree if copied else shutil.copy)(ROOT / name, tmp_path / name, **copied)
    cars = listings(1200, seed=3).frame
    age = 2020 - cars["year"].clip(upper=2020)
    cars = cars.assign(
        price=(30_000 * 0.88**age * np.random.default_rng(0).uniform(0.98, 1.02, 1200)).round()
    )
    (tmp_path / "listings.csv.gz").write_bytes(gzip.compress(cars.to_csv(index=False).encode()))
    stock = cars[(cars["year"] < 2021) & (cars["engineSize"] > 0) & (cars["mileage"] != "on request")]
    stock.drop(columns="price").head(50).to_csv(tmp_path / "stock.csv", index=False)
    made = Reader(tmp_path)
    for path in (tmp_path / "configs" / "demo").glob("*.yaml"):
        path.write_text(path.read_text().replace(":8765", f":{made.ports['8765']}"))
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_of_the_readme_does_what_it_says(reader: Reader) -> None:
    for block in blocks(README):
        if block.language == "console":
            for command in commands(block):
                if command.line.startswith("curl ") and shutil.which("curl") is None:
                    pytest.skip("curl is not on this machine; everything above it ran")
                reader.type(command)
        elif block.language:
            named = re.fullmatch(r"`([\w/.]+)`:", block.before)
            assert named, f"a block of {block.language} that no file name precedes: {block.before}"
            assert not (ROOT / named[1]).exists(), f"{named[1]} is part of the checkout already"
            (reader.root / named[1]).write_text("\n".join(block.lines) + "\n", encoding="utf-8")
    predicted = (reader.root / "stock_prices.csv").read_text().splitlines()
    assert predicted[0] == "prediction,prediction_low,prediction_high,model_version,flag"
    assert len(predicted) == 51


def test_a_command_that_fails_or_prints_something_else_is_seen(tmp_path: Path) -> None:
    other = Reader(tmp_path)
    other.type(Command("echo 'took 3 s, by me@here, well'", ("took 4.5 s, by you@there, well",)))
    with pytest.raises(AssertionError, match="ended with 3"):
        other.type(Command("exit 3", ()))
    with pytest.raises(AssertionError, match="did not print"):
        other.type(Command("printf 'one\\ntwo\\n'", ("two", "one")))
    with pytest.raises(AssertionError, match="did not print"):
        other.type(Command("echo one and more", ("one",)))
    other.type(Command("printf 'one and more\\nx\\ntwo\\n'", ("one ...", "...", "two")))
    with pytest.raises(KeyError):
        other.type(Command("make nonsense", ()))


def test_make_targets_of_the_pages_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`make ([a-z]+)", page.read_text()):
            assert name in targets(), f"{page.name}: make {name}"


def run_lines(page: Path) -> list[str]:
    """Every `python run.py ...` in a page, in blocks and in the text."""
    text = page.read_text(encoding="utf-8")
    inline = re.findall(r"`(?:python )?(run\.py [^`]+)`", text)
    listed = re.findall(r"^(?:\$ )?python (run\.py .+)$", text, flags=re.MULTILINE)
    return [*inline, *listed]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for line in run_lines(page):
        words = shlex.split(line.split(" #")[0])[1:]
        assert words[0] in COMMANDS, f"{page.name}: {line}"
        command = importlib.import_module(f"commands.{words[0]}").cli
        rest = words[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, f"{page.name}: {line}"
            command, rest = command.commands[rest[0]], rest[1:]
        known = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
        for word in rest:
            assert not word.startswith("--") or word.split("=")[0] in {*known, "--help", "--debug"}, (
                f"{page.name}: {line}: {word}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
    made = {b.before.strip("`:") for b in blocks(page) if b.before.endswith("`:")}
    for name in re.findall(
        r"`((?:perennial|steps|pipelines|materializers|bento|commands|tests|configs|benchmarks)/[\w/.]+)`",
        text,
    ):
        assert name in made or (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", [README, *DOCS], ids=lambda p: p.name)
def test_pages_are_short_plain_and_of_no_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert page == README or len(prose) <= 120
    assert text.isascii(), f"{page.name}: {sorted({c for c in text if not c.isascii()})}"
    assert not re.search(r"/(?:tmp|root|home|work|Users)/|root@", text)


def test_pictures_are_small_pngs() -> None:
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert pictures and all(f"images/{p.name})" in pages for p in pictures)
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < 200_000


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in get_args(annotation) for m in models_in(a)]


def typed(annotation: Any) -> str:
    """A type in the words of YAML."""
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return typed(next(a for a in inner if a is not type(None)))
    if origin is dict:
        return "mapping"
    if inner and all(isinstance(a, str) for a in inner):
        return " or ".join(inner)
    return typed(inner[0]) if inner else annotation.__name__


def key_rows(schema: type[BaseModel], at: str = "", variant: str = "") -> list[list[str]]:
    """`key, of which variant, type, default, unit, about` of every key, in the schema's order."""
    rows: list[list[str]] = []
    for name, described in schema.model_fields.items():
        key, inner = f"{at}{name}", models_in(described.annotation)
        if inner:
            many = get_origin(described.annotation) is tuple
            for model in inner:
                kind = model.model_fields["kind"].annotation if len(inner) > 1 else None
                rows += key_rows(model, f"{key}{'.N' * many}.", get_args(kind)[0] if kind else variant)
        elif name == "kind":
            rows.append([key, variant, "", "required", "", described.description or ""])
        else:
            default = described.get_default(call_default_factory=True)
            shown = "required" if default is PydanticUndefined else json.dumps(default)
            unit = (described.json_schema_extra or {}).get("unit", "")  # type: ignore[union-attr]
            about = described.description or ""
            rows.append([key, variant, typed(described.annotation), shown, str(unit), about])
    return rows


def key_table(schema: type[BaseModel]) -> list[str]:
    """The Markdown table of all keys; the variants of one key that say the same share a row."""
    shared: dict[tuple[str, ...], list[str]] = {}
    for key, variant, *rest in key_rows(schema):
        shared.setdefault((key, *rest), []).append(variant)
    lines = ["| key | type | default | unit | about |", "|---|---|---|---|---|"]
    for (key, kind, default, unit, about), variants in shared.items():
        named = ", ".join(v for v in variants if v)
        if key.endswith(".kind"):
            kind, named = named.replace(", ", " or "), ""
        of = f" ({named})" if named else ""
        shown = "" if default == '""' else default if default == "required" else f"`{default}`"
        lines.append(f"| `{key}`{of} | {kind} | {shown} | {'' if unit == '1' else unit} | {about} |")
    return lines


@pytest.mark.parametrize(("page", "schema"), [("config.md", Config), ("stacks.md", Stack)])
def test_the_table_of_keys_is_that_of_the_schema(page: str, schema: type[BaseModel]) -> None:
    expected = key_table(schema)
    lines = (ROOT / "docs" / page).read_text().splitlines()
    start = lines.index(expected[0])
    found = lines[start : lines.index("", start)]
    assert found == expected, f"write what `python -m tests.test_readme {page}` prints into docs/{page}"


def test_every_stack_and_system_is_named() -> None:
    text = README.read_text() + (ROOT / "docs" / "stacks.md").read_text()
    for path in [*(ROOT / "configs").glob("*.yaml"), *(ROOT / "configs" / "stacks").glob("*.yaml")]:
        assert f"`{path.stem}`" in text, path.stem


if __name__ == "__main__":
    print("\n".join(key_table(Stack if sys.argv[1:] == ["stacks.md"] else Config)))
