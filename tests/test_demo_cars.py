"""The demo sites that sell cars behave like the sites they stand in for."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import timedelta

import lxml.html
import numpy as np
import pytest

from demo import stock
from tests.demo_asked import NOW, Server, rows_of, server, shared

__all__ = ("server", "shared")


def number_of(row: lxml.html.HtmlElement) -> int:
    return int(re.search(r"-(\d+)\.html$", row.get("href"))[1])


def test_the_result_pages_hold_the_stock_and_repeat_some_of_it(server: Server) -> None:
    cars = {car.number: car for car in stock.on_sale(7, NOW)}
    assert 900 < len(cars) < 1_600
    found, page = [], 1
    while rows := rows_of(server.get(f"/voiture?action=liste&entrant={page}").text):
        found += rows
        page += 1
    counts = Counter(number_of(row) for row in found)
    assert set(counts) == set(cars)
    assert len(found) == len(cars) + 2 * (page - 1)
    blanks = set()
    for row in found:
        car, text = cars[number_of(row)], row.cssselect(".vehiculeinfos")[0].text
        year, *between, fuel = text.split(" / ", 2 if "km" in text else 1)
        assert (year or None) == (str(car.year) if car.year else None)
        assert fuel == car.fuel
        assert [re.sub(r"\D", "", m) for m in between] == (
            [str(car.mileage_km)] if car.mileage_km is not None else []
        )
        price = row.cssselect(".prix")[0].text
        expected = "" if car.on_request else str(car.price_eur(stock.updated(NOW)))
        assert re.sub(r"\D", "", price) == expected
        blanks |= set(re.findall(r"\d(\D)\d{3} €", price))
    assert blanks == {" ", "\xa0", "\u202f"}
    assert any(car.year is None for car in cars.values())
    assert any(car.mileage_km is None for car in cars.values())


def test_links_lead_to_all_pages_under_addresses_that_say_where_they_were_clicked(server: Server) -> None:
    asked, to_ask, spellings = set(), {1}, set()
    while to_ask:
        page = to_ask.pop()
        asked.add(page)
        tree = lxml.html.fromstring(server.get(f"/voiture?action=liste&entrant={page}").text)
        links = {a.get("href") for a in tree.cssselect("#pagination a")}
        spellings |= links
        to_ask |= {int(link.rpartition("=")[2]) for link in links} - asked
    cars = len(stock.on_sale(7, NOW))
    assert asked == set(range(1, -(-cars // 98) + 1))
    assert len(spellings) > 3 * len(asked)


def test_the_latin_site_is_windows_1252_that_says_otherwise(server: Server) -> None:
    got = server.get("/annonces?page=2")
    assert got.headers["Content-Type"] == "text/html"
    assert b"charset=iso-8859-1" in got.body
    text = got.body.decode("cp1252")
    prices = re.findall(r"<td class=prix>([\d\xa0]+,00 €|sur demande)</td>", text)
    shown = stock.on_sale(7, NOW)[40:80]
    at = stock.updated(NOW)
    assert [re.sub(r"\D", "", p.partition(",")[0]) for p in prices] == [
        "" if car.on_request else str(car.price_eur(at)) for car in shown
    ]
    with pytest.raises(UnicodeDecodeError):
        got.body.decode("utf-8")


def test_the_json_site_says_everything_three_times(server: Server) -> None:
    tree = lxml.html.fromstring(server.get("/angebote?page=3").text)
    props = json.loads(tree.cssselect("#__NEXT_DATA__")[0].text)["props"]["pageProps"]
    linked = json.loads(tree.cssselect('script[type="application/ld+json"]')[0].text)["itemListElement"]
    prices = [int(item["tracking"]["price"]) for item in props["listings"]]
    assert len(prices) == 20
    assert prices == [item["item"]["offers"]["price"] for item in linked]
    assert prices == [int(a.get("data-price")) for a in tree.cssselect("article")]
    assert prices == [int(re.sub(r"\D", "", item["price"]["priceFormatted"])) for item in props["listings"]]
    last = lxml.html.fromstring(server.get(f"/angebote?page={props['numberOfPages']}").text)
    assert last.cssselect("article")
    assert not last.cssselect('a[rel="next"]')


def test_a_cars_page_is_there_until_it_is_sold(server: Server) -> None:
    href = rows_of(server.get("/voiture?entrant=4").text)[-1].get("href")
    car = next(car for car in stock.on_sale(7, NOW) if str(car.number) in href)
    assert f"<dd>{car.power_hp} ch</dd>" in server.get(href).text
    server.set(now=(car.sold + timedelta(days=1)).isoformat())
    assert server.get(href).status == 404


def test_prices_follow_from_what_the_pages_show() -> None:
    cars = [c for c in stock.on_sale(7, NOW) if c.year and c.mileage_km and not c.on_request]
    models = sorted({c.model for c in cars})
    rows = np.array(
        [
            [
                *(2026 - c.year, c.mileage_km / 1e5, c.power_hp, "GT" in c.version, "Exclusive" in c.version),
                *(c.fuel == "Diesel", c.gearbox.startswith("BVM")),
                *(c.model == m for m in models),
            ]
            for c in cars
        ],
        float,
    )
    price = np.array([c.price_eur(NOW) for c in cars], float)
    train = np.arange(len(cars)) % 4 != 0
    weights = np.linalg.lstsq(rows[train], np.log(price[train]), rcond=None)[0]
    missed = price[~train] - np.exp(rows[~train] @ weights)
    assert 0.9 < 1 - (missed**2).sum() / ((price[~train] - price[~train].mean()) ** 2).sum() < 0.995


def test_prices_fall_while_cars_stand() -> None:
    later = {
        c.number: c.price_eur(NOW + timedelta(days=60)) for c in stock.on_sale(7, NOW + timedelta(days=60))
    }
    both = [(c.price_eur(NOW), later[c.number]) for c in stock.on_sale(7, NOW) if c.number in later]
    assert len(both) > 300
    assert all(new <= old for old, new in both)
    assert sum(new < old for old, new in both) > 0.5 * len(both)
