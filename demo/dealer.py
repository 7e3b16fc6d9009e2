"""The used-car sites: one stock, shown by three sites in three ways."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from email.utils import format_datetime

from aiohttp import web

from demo import pages, showroom, stock
from demo.state import State, state_of
from demo.stock import Car

PAGE, LATIN_PAGE, JSON_PAGE = 98, 40, 20
DISALLOWED = ("/recherche", "/compte")
GERMAN_FUEL = {
    showroom.PETROL: "Benzin",
    showroom.DIESEL: "Diesel",
    showroom.ELECTRIC: "Elektro",
    showroom.HYBRID: "Elektro/Benzin",
}


def routes() -> list[web.RouteDef]:
    """The paths of the three sites, and those that robots.txt closes."""
    return [
        web.get("/voiture", results),
        web.get("/occasions/{make}/{slug}.html", detail),
        web.get("/annonces", latin_results),
        web.get("/angebote", json_results),
        *(web.get(path, closed) for path in DISALLOWED),
    ]


async def results(request: web.Request) -> web.Response:
    """Result pages as lists of links, 98 cars each, in UTF-8; a layout of its own before and after a change."""
    state = state_of(request)
    state.result_pages += 1
    cars, at = _stock(state)
    page, last, shown = _page(request, "entrant", cars, PAGE)
    featured = _featured(cars, page) if shown else []
    text = pages.RESULTS[state.layout()](featured + shown, page, last, at, state.world.seed)
    return web.Response(
        body=text.encode(),
        headers={"Content-Type": "text/html; charset=utf-8", **_changed(state, at)},
    )


async def latin_results(request: web.Request) -> web.Response:
    """The same stock as tables in Windows-1252, which the page calls ISO-8859-1 and the header does not name."""
    state = state_of(request)
    cars, at = _stock(state)
    page, last, shown = _page(request, "page", cars, LATIN_PAGE)
    text = pages.latin(shown, page, last, at)
    return web.Response(
        body=text.encode("cp1252", "xmlcharrefreplace"),
        headers={"Content-Type": "text/html", **_changed(state, at)},
    )


async def json_results(request: web.Request) -> web.Response:
    """The same stock in German, with all values once more in the JSON that the page embeds, and as JSON-LD."""
    state = state_of(request)
    cars, at = _stock(state)
    cars = [car for car in cars if not car.on_request]
    page, last, shown = _page(request, "page", cars, JSON_PAGE)
    listings = [_listing(car, at) for car in shown]
    props = {"numberOfResults": len(cars), "numberOfPages": last, "pageid": page, "listings": listings}
    text = pages.embedded(
        [(car, item["id"], item["url"]) for car, item in zip(shown, listings, strict=True)],
        _script({"props": {"pageProps": props}, "page": "/angebote"}),
        _script(_linked_data(shown, listings, at)),
        page,
        last,
        at,
    )
    return web.Response(text=text, content_type="text/html", headers=_changed(state, at))


async def detail(request: web.Request) -> web.Response:
    """The page of one car; 404 once it is sold."""
    cars, at = _stock(state_of(request))
    number = request.match_info["slug"].rpartition("-")[2]
    car = next((car for car in cars if str(car.number) == number), None)
    if car is None:
        raise web.HTTPNotFound(text="Ce véhicule n'est plus disponible.")
    return web.Response(text=pages.detail(car, at), content_type="text/html")


async def closed(request: web.Request) -> web.Response:
    """What robots.txt forbids; whoever asks anyway is counted."""
    return web.Response(text="<p>Recherche</p>", content_type="text/html")


def _stock(state: State) -> tuple[list[Car], datetime]:
    now = state.now()
    return stock.on_sale(state.world.seed, now), stock.updated(now)


def _page(request: web.Request, parameter: str, cars: list[Car], size: int) -> tuple[int, int, list[Car]]:
    """The number of the page that was asked for, that of the last one, and the cars on it; none beyond the last."""
    text = request.query.get(parameter, "1")
    page = int(text) if text.isdigit() and int(text) else 1
    return page, -(-len(cars) // size), cars[(page - 1) * size : page * size]


def _featured(cars: list[Car], page: int) -> list[Car]:
    """Two of twelve cars that the dealer pushes; they come again on every sixth page, and at their own place."""
    pushed = cars[:: max(len(cars) // 12, 1)][:12]
    return [pushed[(2 * page + i) % len(pushed)] for i in range(2)] if pushed else []


def _changed(state: State, at: datetime) -> dict[str, str]:
    """When the page last changed, as long as the layout is the first one."""
    if state.layout() != "first":
        return {}
    return {"Last-Modified": format_datetime(at, usegmt=True)}


def _listing(car: Car, at: datetime) -> dict[str, object]:
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, str(car.number)))
    price = car.price_eur(at)
    mileage = "" if car.mileage_km is None else f"{car.mileage_km:,} km".replace(",", ".")
    return {
        "id": identity,
        "url": f"/angebote/{car.make.lower()}-{pages.slug(car.model)}-{identity}",
        "price": {"priceFormatted": f"€ {price:,}".replace(",", "."), "isVatLabelLegallyRequired": False},
        "vehicle": {
            "make": car.make.title(),
            "model": car.model,
            "modelVersionInput": car.version,
            "offerType": "U",
            "transmission": "Schaltgetriebe" if car.gearbox.startswith("BVM") else "Automatik",
            "fuel": GERMAN_FUEL[car.fuel],
            "mileageInKm": mileage or None,
        },
        "location": {"countryCode": "FR", "city": car.dealer},
        "tracking": {
            "firstRegistration": "unknown" if car.year is None else f"{car.registered:%m-%Y}",
            "mileage": "" if car.mileage_km is None else str(car.mileage_km),
            "price": str(price),
        },
        "vehicleDetails": [
            {"data": mileage or "- km", "ariaLabel": "Kilometerstand"},
            {"data": f"{round(car.power_hp / 1.35962)} kW ({car.power_hp} PS)", "ariaLabel": "Leistung"},
        ],
    }


def _linked_data(cars: list[Car], listings: list[dict[str, object]], at: datetime) -> dict[str, object]:
    items = []
    for position, (car, listing) in enumerate(zip(cars, listings, strict=True), 1):
        item: dict[str, object] = {
            "@type": "Car",
            "name": f"{car.make.title()} {car.version}",
            "url": listing["url"],
            "offers": {"@type": "Offer", "price": car.price_eur(at), "priceCurrency": "EUR"},
        }
        if car.mileage_km is not None:
            item["mileageFromOdometer"] = {
                "@type": "QuantitativeValue",
                "value": car.mileage_km,
                "unitCode": "KMT",
            }
        items.append({"@type": "ListItem", "position": position, "item": item})
    return {"@context": "https://schema.org", "@type": "ItemList", "itemListElement": items}


def _script(value: object) -> str:
    """JSON that no `</script>` inside can end."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
