"""The exploration: complete and harmless whatever the columns hold, and the same each time."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.data.exploration import explore
from perennial.data.exploration.evidently_summary import summary
from perennial.data.exploration.explore import EVIDENTLY_ROWS, SAMPLE_ROWS
from perennial.data.exploration.reading import FEWEST_SHOWN, read
from perennial.table import Column, Contract
from tests.explored import EVIL, ROOT, Page, records

ROWS = 60


class Angry:
    """A value whose every method raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __hash__ = __eq__ = __repr__  # type: ignore[assignment]


def cells(values: list[Any]) -> pd.Series[Any]:
    return pd.Series((values * ROWS)[:ROWS], dtype=object)


ODD: dict[str, tuple[pd.Series[Any], str]] = {
    "all null": (cells([None]), "all missing"),
    "all nan": (pd.Series([np.nan] * ROWS), "all missing"),
    "no time": (pd.Series([pd.NaT] * ROWS, dtype="datetime64[ns, UTC]"), "all missing"),
    "constant number": (pd.Series([3.0] * ROWS), "constant"),
    "constant text": (cells(["one"]), "constant"),
    "constant but for gaps": (cells(["one", None]), "constant"),
    "constant lists": (cells([[1]]), "failed"),
    "only infinite": (pd.Series([np.inf] * ROWS), "failed"),
    "some infinite": (pd.Series([np.inf, -np.inf, 1.0] * (ROWS // 3)), "ok"),
    "mixed": (cells([1, "x", 2.5, None, "y"]), "mixed types"),
    "mixed with lists": (cells(["a", "b", "c", [1]]), "mixed types"),
    "lists": (cells([[1], [1, 2]]), "failed"),
    "objects": (cells([{"a": {"b": 1}}, {"a": None}]), "failed"),
    "angry": (pd.Series([Angry() for _ in range(ROWS)], dtype=object), "failed"),
    "complex": (pd.Series([1j, 2j] * (ROWS // 2)), "failed"),
    "huge integers": (cells([10**30, -(10**25), 7]), "ok"),
    "endless integers": (cells([10**400, 1, 2]), "ok"),
    "greatest float": (pd.Series([1e308, -1e308] * (ROWS // 2)), "ok"),
    "decimals": (cells([Decimal("1.5"), Decimal("2.5")]), "ok"),
    "aware times": (pd.Series(pd.date_range("2024", periods=ROWS, freq="D", tz="Europe/Berlin")), "ok"),
    "naive times": (pd.Series(pd.date_range("2024", periods=ROWS, freq="D")), "ok"),
    "written times": (cells(["2024-01-01T00:00Z", "2024-03-01T00:00Z"]), "ok"),
    "far times": (pd.Series([-62_000_000_000, 250_000_000_000] * (ROWS // 2)).astype("datetime64[s]"), "ok"),
    "dates": (pd.Series([d.date() for d in pd.date_range("2024", periods=ROWS)], dtype=object), "ok"),
    "time differences": (pd.to_timedelta(pd.Series(range(ROWS)), unit="h"), "ok"),
    "nullable": (pd.Series([1, None] * (ROWS // 2), dtype="Int64"), "constant"),
    "truths": (cells([True, False, None]), "ok"),
    "nullable truths": (pd.Series([True, None, False] * (ROWS // 3), dtype="boolean"), "ok"),
    "categories of numbers": (pd.Series([1, 2, 3] * (ROWS // 3), dtype="category"), "ok"),
    "unsigned": (pd.Series([2**64 - 1, 0] * (ROWS // 2), dtype="uint64"), "ok"),
    "periods": (pd.Series(pd.period_range("2024-01", periods=ROWS, freq="M")), "ok"),
    "intervals": (pd.cut(pd.Series(range(ROWS)), 4).astype(pd.IntervalDtype("float64")), "ok"),
    "markup": (cells([EVIL, "<b>"]), "ok"),
    "broken text": (cells(["\ud800", "\x00", ""]), "ok"),
    "distinct texts": (pd.Series([f"text {i}" for i in range(ROWS)]), "too many categories"),
}


@pytest.fixture(scope="module")
def odd() -> Any:
    frame = pd.DataFrame({name: values for name, (values, _) in ODD.items()})
    return explore(frame, "odd things", {}, 1)


def test_every_odd_column_ends_in_a_named_status(odd) -> None:
    found = {c.name: c.status for c in odd.columns}
    assert list(found) == list(ODD)
    for name, (_, expected) in ODD.items():
        assert found[name] == expected, name
    assert all(c.sentence for c in odd.columns)
    page = Page(odd.html)
    assert "nan" not in re.findall(r"[a-z]+", page.text.replace("all nan", ""))
    assert "inf" not in re.findall(r"[a-z]+", page.text)


def test_odd_columns_do_not_hide_the_good_ones(odd) -> None:
    assert any("2 columns mix types: mixed, mixed with lists" in f for f in odd.findings)
    assert any(
        f.startswith("3 columns have no value at all: all null, all nan, no time") for f in odd.findings
    )
    assert len(odd.evidently_html) > 1_000_000
    assert "huge integers" in odd.evidently_html


@pytest.mark.parametrize("name", sorted(ODD))
@pytest.mark.parametrize("kind", ["number", "integer", "category", "boolean", "time", "text"])
def test_no_contract_makes_a_column_break_the_page(name: str, kind: Any) -> None:
    values = ODD[name][0]
    known = Contract("odd", (Column("x", kind, "x", role="time" if kind == "time" else "feature"),))
    seen = read(values.rename("x"), 0, "x", np.arange(ROWS), known)
    assert seen.status == "failed" or seen.kind in (kind, "text", "nested")
    assert seen.missing == int(values.isna().sum())


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_few_rows_are_enough(rows: int) -> None:
    found = explore(records(rows), "few", {}, 1)
    page = Page(found.html)
    assert f"{rows} row" in page.text
    assert [c.name for c in found.columns] == list(records(1))
    assert ("The table has no row." in found.findings) == (rows == 0)
    assert (found.evidently_html == "") == (rows == 0)


def test_a_table_without_columns_is_told() -> None:
    assert explore(pd.DataFrame(index=range(5)), "none", {}, 1).findings == ("The table has no column.",)


def test_column_names_may_be_anything() -> None:
    rng = np.random.default_rng(0)
    names = ["x", "x", EVIL, "", "a" * 500, 7, None, ("a", 1), "\ud800", "{{ 7*7 }}", "x (2)"]
    frame = pd.DataFrame(rng.normal(size=(50, len(names))))
    frame.columns = pd.Index(names, dtype=object)
    found = explore(frame, EVIL, {EVIL: EVIL}, 1)
    assert len({c.name for c in found.columns}) == len(names)
    assert any("1 column name stands more than once: x." in f for f in found.findings)
    page = Page(found.html)
    assert not {"script", "img", "iframe"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    assert "49" not in re.findall(r"\{\{.*?\}\}|\b49\b(?= name)", found.html)
    assert "<script>alert" not in found.evidently_html
    assert "onerror=alert(2)>" not in found.evidently_html
    found.html.encode()
    found.evidently_html.encode()


def test_the_page_needs_nothing_from_outside_and_stays_small() -> None:
    found = explore(records(), "records", {"dataset version": "3"}, 1, beside="3.evidently.html")
    page = Page(found.html)
    assert page.links == ["3.evidently.html"]
    assert "script" not in page.tags
    assert "default-src 'none'" in found.html
    assert len(found.html) < 300_000
    assert "prefers-color-scheme:dark" in found.html
    head = found.evidently_html[: found.evidently_html.index("<script")]
    assert "default-src 'none'; script-src 'unsafe-inline'" in head
    markup = re.sub(r"<script>.*?</script>", "", found.evidently_html, flags=re.S)
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?!data:)\S+", markup)
    assert len(found.evidently_html) < 6_000_000


def test_no_single_row_can_be_read_off() -> None:
    data = records().assign(phone_id=range(7_700_000, 7_702_000), mood="fine")
    data.loc[0, "zone"] = "the only one of its zone"
    data.loc[: FEWEST_SHOWN - 2, "mood"] = "shared by too few"
    data.loc[100 : 100 + FEWEST_SHOWN - 1, "mood"] = "shared by enough"
    found = explore(data, "records", {}, 1)
    for html in (found.html, found.evidently_html):
        for secret in ("secret-", "hush ", "the only one", "7700000", "7,700,000", "shared by too few"):
            assert secret not in html
        assert "shared by enough" in html


def test_the_same_table_and_seed_give_the_same_bytes() -> None:
    assert explore(records(), "records", {}, 1) == explore(records(), "records", {}, 1)


@pytest.mark.torture
def test_another_process_gives_the_same_bytes_and_loads_no_telemetry() -> None:
    code = (
        "import hashlib, sys; sys.path.insert(0, 'tests'); from test_exploration import records\n"
        "from perennial.data.exploration import explore\n"
        "found = explore(records(), 'records', {}, 1)\n"
        "print(hashlib.sha256((found.html + found.evidently_html).encode()).hexdigest())\n"
        "assert not {'evidently.telemetry', 'iterative_telemetry'} & set(sys.modules)"
    )
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert not done.returncode, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


def test_a_large_table_is_sampled_says_so_and_counts_what_it_can_exactly() -> None:
    rows = SAMPLE_ROWS + 20_000
    data = pd.DataFrame({"x": np.arange(float(rows)), "almost": np.zeros(rows)})
    data.loc[[5, 6], "x"] = np.nan
    data.loc[rows - 1, "almost"] = 1.0
    found = explore(data, "large", {}, 3)
    text = " ".join(Page(found.html).text.split())
    assert f"random sample of {SAMPLE_ROWS:,} rows (seed 3)" in text
    assert f"Evidently's figures of {EVIDENTLY_ROWS:,} rows of it (seed 3)" in text
    assert "2 (under 0.1 %)" in text
    assert found.columns[1].status == "ok"  # one row differs, wherever the sample fell
    assert explore(data, "large", {}, 4).html != found.html


def test_a_column_that_breaks_evidently_is_named_and_the_others_are_summarised() -> None:
    frame = pd.DataFrame({"a": np.arange(50.0), "lists": [[1]] * 50, "c": ["x", "y"] * 25, "more": [{}] * 50})
    found = summary(frame, {"a": "number", "lists": "category", "c": "category", "more": "category"})
    assert found.broken == {"lists": "TypeError", "more": "TypeError"}
    assert set(found.columns) == {"a", "c"}
    assert found.columns["a"]["mean"] == pytest.approx(24.5)
    assert found.columns["c"]["distinct"] == 2
    assert found.totals["rows"] == 50
    assert summary(frame, {"lists": "category"}).html == ""


def test_only_one_file_imports_evidently() -> None:
    importers = set()
    folders = (
        "bento",
        "benchmarks",
        "commands",
        "dashboard",
        "demo",
        "materializers",
        "perennial",
        "pipelines",
    )
    for path in [p for f in (*folders, "steps") for p in (ROOT / f).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            if any(name.split(".")[0] == "evidently" for name in names):
                importers.add(str(path.relative_to(ROOT)))
    assert importers == {"perennial/data/exploration/evidently_summary.py"}
