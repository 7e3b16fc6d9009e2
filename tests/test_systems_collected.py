"""One suite over every plugin whose records are collected by feeds, on records from the demo server."""

from __future__ import annotations

import asyncio
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from collected import NOW, ROOT, SHORTER, collected, config, world

from perennial import systems
from perennial.config import Config
from perennial.config_file import load
from perennial.data import crawl
from perennial.data.checks import check, require
from perennial.data.records import merge, to_frame
from perennial.errors import InputError, NotEnoughDataError

ENTSOE = ROOT.parent / "shared/data/electricity-load/entsoe-raw"
DEALER = ROOT.parent / "shared/data/used-cars/html/vikings-auto.fr"
KEYS = {
    "fear_greed": ["time"],
    "earthquakes": ["time", "latitude_deg", "longitude_deg"],
    "load": ["time", "known_at"],
}


@pytest.fixture(scope="module")
def address():
    with world() as found:
        yield found


@pytest.fixture(scope="module", params=sorted(SHORTER))
def case(request, address, tmp_path_factory):
    """A plugin, its config and its records."""
    of = config(request.param, address)
    return systems.get(request.param), of, collected(of, tmp_path_factory.mktemp(request.param))


def features(system, of):
    return [c.name for c in system.contract(of.source).features]


def test_the_plugin_says_what_it_is(case):
    system, of, _ = case
    contract = system.contract(of.source)
    assert system.name == contract.system == of.system.partition("-")[0]
    assert system.task == ("regression" if contract.target.is_numeric else "classification")
    assert set(system.segments) <= {c.name for c in contract.columns}
    for column in contract.columns:
        assert column.description
        assert not column.is_numeric or column.unit, column.name


def test_the_records_make_a_table_that_may_be_trained_on(case):
    system, of, records = case
    contract = system.contract(of.source)
    before = records.copy(deep=True)
    checked = check(system.prepare(records, of.source), contract, of.checks)
    pd.testing.assert_frame_equal(records, before)
    require(checked.report)
    frame = checked.table.frame
    assert len(frame) > 200
    assert frame[contract.target.name].nunique() > 1
    assert (frame["known_at"] <= frame["time"]).all() or system.name == "used_cars"


@pytest.mark.parametrize("case", sorted(KEYS), indirect=True)
def test_a_row_uses_nothing_that_was_not_known(case):
    """Features from a prefix of the records equal the prefix of the features."""
    system, of, records = case
    key = KEYS[system.name]
    whole = system.prepare(records, of.source)
    moment = whole["known_at"].quantile(0.7)
    part = system.prepare(records[records["available_at"] <= moment], of.source)
    shared = part[part["known_at"] <= moment]
    both = shared.merge(whole, on=key, suffixes=("", "_whole"), how="left", validate="one_to_one")
    assert len(both) > 50
    for name in set(features(system, of)) - set(key):
        np.testing.assert_array_equal(both[name].to_numpy(), both[f"{name}_whole"].to_numpy(), err_msg=name)


@pytest.mark.parametrize("case", sorted(KEYS), indirect=True)
def test_a_changed_future_changes_nothing(case):
    system, of, records = case
    moment = records["available_at"].quantile(0.8)
    late = records["available_at"] > moment
    numbers = [c for c in records if pd.api.types.is_float_dtype(records[c]) and not c.endswith("_deg")]
    changed = records.assign(**{c: records[c].where(~late, records[c] * 1.5 + 1) for c in numbers})
    first, second = (system.prepare(r, of.source) for r in (records, changed))
    seen = first["known_at"] <= moment
    assert seen.any()
    assert not first["known_at"].le(moment).all()
    names = features(system, of)
    pd.testing.assert_frame_equal(first.loc[seen, names], second.loc[second["known_at"] <= moment, names])


@pytest.mark.parametrize("case", sorted(KEYS), indirect=True)
def test_too_few_records_are_told(case):
    system, of, records = case
    with pytest.raises(
        NotEnoughDataError, match=r"records of the feed \w+: expected at least 1 rows, found 0"
    ):
        system.prepare(records.iloc[:0], of.source)


def test_a_month_of_earthquakes_is_no_window(address, tmp_path):
    of = config("earthquakes", address, "source.feeds.events.walk.since=2026-02-01")
    with pytest.raises(NotEnoughDataError, match="behind a year of records"):
        systems.get("earthquakes").prepare(collected(of, tmp_path), of.source)


def test_an_outside_series_joins_by_config_alone(address, tmp_path):
    series = (
        "{base_url: '', walk: {kind: once, urls: ['/graph/fredgraph.csv?id=DGS10']}, read: {kind: csv}, "
        "key: [rate_day], event_time: rate_day, available_after_s: 86400, fields: {rate_day: "
        "{column: observation_date, parse: time}, ten_years: {column: DGS10, parse: number, unit: '%'}}}"
    )
    of = config("fear_greed", address, f"source.feeds.rates={series}")
    system = systems.get("fear_greed")
    assert features(system, of)[-1] == "rates_ten_years"
    records = collected(of, tmp_path)
    rows = system.prepare(records, of.source)
    known = records[records["feed"] == "rates"].sort_values("event_time").dropna(subset=["ten_years"])
    for row in rows.sample(20, random_state=1).itertuples():
        told = records[(records["feed"] == "rates") & (records["available_at"] <= row.known_at)]
        newest = told.sort_values("event_time")["ten_years"].iloc[-1]
        assert newest == row.rates_ten_years or (np.isnan(newest) and np.isnan(row.rates_ten_years))
    assert len(known) > 100


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_source_that_is_read_whole_is_refused(name, address):
    system, synthetic = systems.get(name), config("used_cars", address).source
    with pytest.raises(InputError, match=r"expected source.kind web with the feed"):
        system.contract(synthetic)


def test_later_collections_of_a_walk_over_time_are_partial_and_merge(address, tmp_path):
    of = config("earthquakes", address)
    found = []
    for _ in range(2):
        crawled = asyncio.run(crawl.crawl(of.source, tmp_path, lambda: NOW))
        crawl.finish(tmp_path, crawled.number)
        rows = crawl.rows(tmp_path, crawled.number, "events")
        found.append((crawled.facts[0].partial, to_frame("events", of.source.feeds["events"], rows)))
    (first_partial, before), (later_partial, again) = found
    assert (first_partial, later_partial) == (False, True)
    assert len(again) < len(before) / 2
    assert merge(merge(None, before).added, again).added.empty


def test_a_name_behind_a_hyphen_shares_the_plugin():
    assert systems.get("used_cars-dealer") is systems.get("used_cars")


@pytest.mark.skipif(not ENTSOE.exists(), reason="the exports are not on this machine")
def test_exports_in_local_time_become_records_in_utc(tmp_path):
    paths = f"source.feeds.load.walk.paths=['{ENTSOE}/*2019*.csv.gz', '{ENTSOE}/*2020*.csv.gz']"
    of = load(ROOT / "configs/sites/entsoe_files.yaml", Config, [paths]).config
    records = collected(of, tmp_path)
    truth = pd.read_csv(ENTSOE.parent / "de_lu_15min_2019_2021.csv.gz", parse_dates=["utc_timestamp"])
    truth = truth.set_index(pd.to_datetime(truth["utc_timestamp"], utc=True))["load_mw"]
    found = records.set_index("event_time")["load_mw"].sort_index()
    expected = truth[found.index[0] : found.index[-1]]
    assert len(found) == len(expected) == 2 * 365 * 96 + 96
    np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())
    rows = systems.get(of.system).prepare(records, of.source)
    assert len(rows) > 30_000


@pytest.mark.skipif(not DEALER.exists(), reason="the pages are not on this machine")
def test_the_pages_of_a_real_site_become_918_cars(tmp_path):
    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = urlsplit(self.path)
            page = DEALER / f"page_{parse_qs(asked.query).get('entrant', ['0'])[0]}.html"
            found = asked.path == "/voiture" and page.exists()
            body = page.read_bytes() if found else b""
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        settings = (f"source.base_url=http://127.0.0.1:{server.server_port}", "source.pace.requests_per_s=0")
        of = load(ROOT / "configs/sites/vikings_auto.yaml", Config, settings).config
        records = collected(of, tmp_path)
    finally:
        server.shutdown()
    assert len(records) == records["key"].nunique() == 918
    table = check(
        systems.get(of.system).prepare(records, of.source),
        systems.get(of.system).contract(of.source),
        of.checks,
    ).table
    assert len(table) == 918
    assert (table.frame["year"].isna().sum(), table.frame["mileage_km"].isna().sum()) == (28, 57)
