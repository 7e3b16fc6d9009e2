"""The exploration: complete and harmless whatever the columns hold, true to the table, and the same each time."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from perennial.data.exploration import explore
from perennial.data.exploration.associations import associations, correlation_ratio, cramers_v
from perennial.data.exploration.coverage import buckets, coverage, gaps
from perennial.data.exploration.evidently_summary import summary
from perennial.data.exploration.explore import EVIDENTLY_ROWS, SAMPLE_ROWS
from perennial.data.exploration.histogram import histogram
from perennial.data.exploration.missing import pattern
from perennial.data.exploration.outliers import outliers
from perennial.data.exploration.reading import FEWEST_SHOWN, Seen, display_names, read, seconds
from perennial.data.exploration.repeats import repeated_rows
from perennial.live.report.time_axis import moment, time_marks
from perennial.table import Column, Contract

ROOT = Path(__file__).resolve().parent.parent
EVIL = """</script><script>alert(1)</script>"'&<img src=x onerror=alert(2)>"""
VOID = {"meta", "br", "img", "link", "hr", "input"}
ROWS = 60


class Page(HTMLParser):
    """The tags of a page, which must be balanced, and every address that it points to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "action")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


class Angry:
    """A value whose every method raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __hash__ = __eq__ = __repr__  # type: ignore[assignment]


def records(rows: int = 2000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    happened = pd.Series(pd.date_range("2023-01-01", periods=rows, freq="h", tz="UTC"))
    return pd.DataFrame(
        {
            "key": [f"secret-{i}" for i in range(rows)],
            "event_time": happened,
            "available_at": happened + pd.to_timedelta(rng.exponential(5400, rows), unit="s"),
            "load_mw": rng.normal(50_000, 4000, rows),
            "zone": rng.choice(["north", "south"], rows),
            "note": [f"hush {i}" for i in range(rows)],
        }
    )


def column(values: Any) -> Seen:
    frame = pd.DataFrame({"x": values})
    return read(frame["x"], 0, "x", np.arange(len(frame)), None)


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


def test_findings_name_gaps_repeats_revisions_and_early_knowledge() -> None:
    data = records()
    early = data["event_time"] - pd.Timedelta("1h")
    data.loc[:9, "available_at"] = early[:10]
    kept = data.drop(index=range(500, 620))
    revised = kept.tail(30).assign(available_at=kept["available_at"].tail(30) + pd.Timedelta("9D"))
    found = explore(pd.concat([kept, revised, kept.head(4)], ignore_index=True), "records", {}, 1)
    told = " ".join(found.findings)
    assert "4 (0.2 %) of the rows share key, available_at with a row before" in told
    assert "30 (1.6 %) of the rows are later versions of a record" in told
    assert (
        "1 gap in event_time, 120 times missing in all; the longest, 5.04 days, starts at 2023-01-21 19:00"
        in told
    )
    assert "14 (0.7 %) of the records could be known before they happened" in told


def test_a_feed_is_not_missing_the_fields_of_another() -> None:
    days = pd.date_range("2026-01-01", periods=400, freq="D", tz="UTC")
    frame = pd.DataFrame({"feed": ["index", "candles"] * 200, "key": range(400), "event_time": days})
    frame = frame.assign(available_at=days, collected_at=days, source="http://127.0.0.1/", raw="0" * 64)
    is_index = (frame["feed"] == "index").to_numpy()
    frame["points"] = np.where(is_index, np.arange(400.0), np.nan)
    frame["close"] = np.where(~is_index & (np.arange(400) % 8 != 1), 100.0 + np.arange(400.0) ** 2, np.nan)
    found = explore(frame, "two feeds", {}, seed=0, evidently=False)
    assert "50 (25.0 %)" in found.html
    assert found.findings == ("1 column lacks at least 20 % of its values: close (25 %).",)


def test_rows_that_repeat_are_those_that_pandas_finds() -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"a": rng.integers(0, 5, 400), "b": rng.choice(["x", None, "y"], 400), "c": rng.random(400) < 0.5}
    )
    assert repeated_rows([frame[c] for c in frame]) == int(frame.duplicated().sum())
    nested = frame.assign(d=[[i % 2] for i in range(400)])
    told = nested.assign(d=nested["d"].map(repr)).duplicated().sum()
    assert repeated_rows([nested[c] for c in nested]) == int(told)
    assert repeated_rows([frame["b"], frame["a"]]) == int(frame.duplicated(["a", "b"]).sum())


@pytest.mark.parametrize(
    "span", [3600.0, 86400.0 * 3, 86400.0 * 300, 86400.0 * 3000, 86400.0 * 365 * 90, 2.0e11]
)
def test_buckets_hold_every_record_between_their_edges(span: float) -> None:
    times = np.sort(np.random.default_rng(1).uniform(0, 1, 500)) * span - 1e9
    found = buckets(times)
    assert np.histogram(times, bins=np.array(found.edges))[0].tolist() == list(found.counts)
    assert found.counts[0] and found.counts[-1]
    assert len(found.counts) <= 130
    starts = [moment(edge) for edge in found.edges]
    assert all(t.minute == t.second == 0 for t in starts)
    assert all(t.hour == 0 for t in starts) or found.unit == "hour"
    assert all(t.day == 1 for t in starts) or found.unit in ("hour", "day", "week")
    assert all(t.weekday() == 0 for t in starts) or found.unit != "week"
    assert all(t.month == 1 for t in starts) or found.unit in ("hour", "day", "week", "month", "quarter")


def test_gaps_of_a_regular_series_are_the_times_left_out() -> None:
    times = np.arange(1000) * 900.0
    left_out = [100, 101, 102, 400, 900]
    found = gaps(np.delete(times, left_out))
    assert found is not None
    assert found.missing_steps == len(left_out)
    assert [(g.start, g.stop, g.steps) for g in found.found] == [
        (99 * 900.0, 103 * 900.0, 3),
        (399 * 900.0, 401 * 900.0, 1),
        (899 * 900.0, 901 * 900.0, 1),
    ]


def test_random_times_show_gaps_as_rarely_as_the_rule_says() -> None:
    rng = np.random.default_rng(2)
    tables = [np.cumsum(rng.exponential(60, 400)) for _ in range(600)]
    wrong = sum(bool(found.found) for found in map(gaps, tables) if found)
    assert wrong <= stats.binom.ppf(0.999, 600, 0.01)
    torn = [np.where(t > t[200], t + 3600, t) for t in tables[:20]]
    assert all(found.found for found in map(gaps, torn) if found)


def test_coverage_counts_records_without_a_time_and_delays() -> None:
    happened = np.array([0.0, 3600.0, np.nan, 7200.0])
    found = coverage("event_time", happened, "available_at", happened + np.array([60, -60, 60, np.nan]))
    assert found is not None and found.delay is not None
    assert (found.records, found.without, found.delay.records, found.delay.negative) == (3, 1, 2, 1)
    assert coverage("event_time", np.array([np.nan])) is None


def test_times_in_any_zone_are_the_same_moment() -> None:
    berlin = pd.Series(pd.date_range("2024-03-30", periods=4, freq="12h", tz="Europe/Berlin"))
    utc = seconds(berlin.dt.tz_convert("UTC"))
    assert seconds(berlin).tolist() == utc.tolist() == [t.timestamp() for t in berlin]
    assert seconds(berlin.astype(str)).tolist() == utc.tolist()


@pytest.mark.parametrize("span", [7200.0, 1e5, 1e6, 1e7, 1e8, 1e9, 5e9])
@pytest.mark.parametrize("letters", [30, 55, 150])
def test_time_marks_are_round_rising_and_have_room(span: float, letters: int) -> None:
    marks = time_marks(1.6e9 - span, 1.6e9, letters)
    places = [place for place, _ in marks]
    assert places == sorted(set(places))
    assert all(1.6e9 - span <= place <= 1.6e9 for place in places)
    assert sum(len(text) + 3 for _, text in marks) <= letters
    assert all(moment(place).minute == 0 for place in places)


def test_histograms_lose_no_value() -> None:
    rng = np.random.default_rng(3)
    for numbers in (
        rng.normal(size=1000),
        rng.integers(0, 9, 500).astype(float),
        rng.pareto(1, 4000),
        np.array([1.0, 2.0]),
    ):
        found = histogram(numbers)
        assert found is not None and sum(found.counts) == len(numbers)
        assert found.beyond == ((numbers < found.low) | (numbers > found.high)).sum()
    whole = histogram(np.array([3.0, 3.0, 5.0]))
    assert whole is not None and whole.counts == (2, 0, 1)
    assert histogram(np.array([2.0, 2.0])) is None
    assert histogram(np.array([1e308, -1e308])) is None


def test_outliers_are_those_beyond_the_stated_bounds() -> None:
    numbers = np.concatenate([np.random.default_rng(4).normal(10, 2, 999), [1000.0]])
    found = outliers(numbers)
    q1, q3 = np.quantile(numbers, [0.25, 0.75])
    mad = np.median(np.abs(numbers - np.median(numbers)))
    z = 0.6745 * np.abs(numbers - np.median(numbers)) / mad
    assert found is not None
    assert (found.low, found.high) == pytest.approx((q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)))
    assert found.out == sum((numbers < found.low) | (numbers > found.high))
    assert found.distant == sum(z > 3.5)
    assert found.furthest == pytest.approx(z.max(), rel=1e-3)
    assert found.far_out == 1 and found.heavy
    assert not outliers(numbers[:-1]).heavy  # type: ignore[union-attr]
    spike = outliers(np.array([5.0] * 90 + [1.0] * 10))
    assert spike is not None and spike.out == 0 and not spike.heavy
    assert outliers(numbers[:5]) is None


def test_associations_agree_with_scipy() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=500)
    y = np.where(rng.random(500) < 0.1, np.nan, np.exp(x) + rng.normal(size=500) * 0.3)
    kind = np.where(x > 0, "high", "low").astype(object)
    frame = pd.DataFrame({"x": x, "y": y, "kind": kind, "again": np.where(kind == "high", "h", "l")})
    seen = [read(frame[c], i, c, np.arange(500), None) for i, c in enumerate(frame)]
    found = associations(seen, np.arange(500))
    assert found is not None
    both = ~np.isnan(y)
    value = {(p.first, p.second): p.value for p in found.pairs}
    assert value["x", "y"] == pytest.approx(stats.spearmanr(x[both], y[both]).statistic)
    assert value["kind", "again"] == pytest.approx(1.0)
    f = stats.f_oneway(*(stats.rankdata(x)[kind == k] for k in ("high", "low"))).statistic
    assert value["x", "kind"] ** 2 == pytest.approx((f - 1) / (f + 498))  # epsilon squared by way of F
    assert (found.strong[0].first, found.strong[0].second) == ("kind", "again")
    assert np.allclose(found.values, found.values.T, equal_nan=True)


def test_chance_alone_associates_nothing() -> None:
    rng = np.random.default_rng(7)
    many = [rng.integers(0, 40, 400) for _ in range(40)]
    raw = stats.contingency.association(
        np.histogram2d(many[0], many[1], bins=40)[0].astype(int) + 0, method="cramer"
    )
    assert raw > 0.25
    assert np.mean([cramers_v(a, b) for a, b in zip(many[:20], many[20:], strict=True)]) < 0.1
    assert np.mean([correlation_ratio(rng.random(400), codes) for codes in many]) < 0.15
    assert np.isnan(cramers_v(many[0][:10], many[1][:10]))
    assert np.isnan(correlation_ratio(np.full(400, np.nan), many[0]))


def test_the_missing_pattern_adds_up_in_the_order_of_time() -> None:
    data = records(1000)
    data.loc[600:, "load_mw"] = np.nan
    shuffled = data.sample(frac=1, random_state=1).reset_index(drop=True)
    seen = [read(shuffled[c], i, c, np.arange(1000), None) for i, c in enumerate(shuffled)]
    found = pattern(shuffled, seen, seconds(shuffled["event_time"]))
    assert found is not None and found.names == ("load_mw",)
    assert sorted(found.shares[0]) == list(found.shares[0])
    assert np.mean(found.shares[0]) == pytest.approx(0.4, abs=0.01)
    assert list(found.starts) == sorted(found.starts)
    assert pattern(data.drop(columns="load_mw"), [s for s in seen if s.name != "load_mw"], None) is None


def test_a_contract_names_kinds_units_and_times() -> None:
    contract = Contract(
        "shop",
        (
            Column("when", "time", "when it was sold", role="time"),
            Column("known", "time", "when that was known", role="known_at"),
            Column("listing", "integer", "its number", role="id"),
            Column("price", "number", "what was paid", unit="GBP", aliases=("cost",)),
            Column("words", "text", "what was said"),
        ),
    )
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2024", periods=50, tz="UTC"),
            "known": pd.date_range("2024-01-02", periods=50, tz="UTC"),
            "listing": [40_404_040] * 2 + list(range(50_505_050, 50_505_098)),
            "cost": ["5.5"] * 49 + ["cheap"],
            "words": ["hello"] * 25 + ["bye"] * 25,
        }
    )
    found = explore(frame, "shop", {}, 1, contract)
    text = Page(found.html).text
    assert {c.name: c.status for c in found.columns}["cost"] == "mixed types"
    assert "1 (2.0 %) of the rows shares listing with a row before." in found.findings
    assert "Delay from when to known" in text
    assert "what was paid" in text and "5.5 GBP" in text
    for hidden in ("hello", "40,404,040", "40404040"):
        assert hidden not in found.html


def test_a_hundred_thousand_texts_are_only_counted() -> None:
    values = pd.Series([f"private {i}" for i in range(100_000)])
    seen = read(values.rename("x"), 0, "x", np.arange(len(values)), None)
    assert (seen.status, seen.distinct, seen.labels) == ("too many categories", 100_000, ())


def test_names_are_made_unique_without_taking_another() -> None:
    assert display_names(["x", "x", "x (2)", "x"]) == ("x", "x (2)", "x (2) (2)", "x (3)")


@pytest.mark.parametrize(
    ("file", "rows", "told"),
    [
        (
            "used-cars/uk_used_cars.csv.gz",
            65_020,
            "955 (1.5 %) of the rows equal a row before in every column.",
        ),
        ("electricity-load/fr_60min_2015_2018.csv.gz", 35_064, "load_mw and tso_day_ahead_forecast_mw"),
    ],
)
@pytest.mark.torture
def test_real_tables_are_described(file: str, rows: int, told: str) -> None:
    path = ROOT.parent / "shared" / "data" / file
    if not path.exists():
        pytest.skip(f"{path} is not there")
    found = explore(pd.read_csv(path), file, {}, 1)
    assert f"{rows:,} rows" in found.html
    assert told in " ".join(found.findings)
    assert all(c.status == "ok" for c in found.columns)
