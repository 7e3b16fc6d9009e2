"""The HTML of the used-car sites: text from cars, and nothing else."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from typing import TypeVar

from demo.stock import Car
from demo.world import Layout

BLANKS = ("", " ", "&nbsp;", "\u202f")
BANNER = '<a href="/offres/financement" style="background-image: url(/images/banniere.jpg)"></a>'
ItemT = TypeVar("ItemT")


def slug(text: str) -> str:
    """Lower-case letters and digits with hyphens between them.

    >>> slug("C5 AIRCROSS 1.2 Évolution")
    'c5-aircross-1-2-evolution'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def address(car: Car) -> str:
    """Where the page of a car is; its number stands at the end."""
    return f"/occasions/{slug(car.make)}/{slug(car.version)}-{slug(car.dealer)}-{car.number}.html"


def first(cars: Sequence[Car], page: int, last: int, at: datetime, seed: int) -> str:
    """The layout that the site starts with."""
    return _frame(
        '<div id="resultats">\n'
        + _with_banners([_row(car, at, "prix") for car in cars])
        + f"</div>\n{_pager(page, last, seed, 'pagination')}"
    )


def renamed(cars: Sequence[Car], page: int, last: int, at: datetime, seed: int) -> str:
    """The first layout, with another class for the price."""
    return _frame(
        '<div id="resultats">\n'
        + _with_banners([_row(car, at, "tarif-ttc") for car in cars])
        + f"</div>\n{_pager(page, last, seed, 'pagination')}"
    )


def rebuilt(cars: Sequence[Car], page: int, last: int, at: datetime, seed: int) -> str:
    """A page of its own, with the same cars on it."""
    cards = [
        f'<article class="carte" data-ref="{car.number}"><h3><a href="{address(car)}">{escape(car.make)} '
        f"<em>{escape(car.version)}</em></a></h3>\n<ul><li>{car.year or '-'}</li>"
        f"<li>{_spaced(car.mileage_km, car.number) if car.mileage_km else '-'} km</li><li>{car.fuel}</li></ul>\n"
        f"<strong>{_price(car, at)}</strong></article>\n"
        for car in cars
    ]
    return _frame(
        f'<section class="vehicules">\n{"".join(cards)}</section>\n{_pager(page, last, seed, "suite")}'
    )


RESULTS: dict[Layout, Callable[[Sequence[Car], int, int, datetime, int], str]] = {
    "first": first,
    "renamed": renamed,
    "rebuilt": rebuilt,
}


def latin(cars: Sequence[Car], page: int, last: int, at: datetime) -> str:
    """A table of an older site, to be encoded as Windows-1252."""
    rows = "".join(
        f'<tr class="annonce"><td class="ref">{car.number}</td><td><b>{escape(car.make)}</b> '
        f"{escape(car.version)}</td><td>{car.year or 'n.c.'}</td><td>"
        f"{'n.c.' if car.mileage_km is None else _thousands(car.mileage_km, '.')} km</td><td>{car.fuel}</td>"
        f"<td>{escape(car.dealer)}</td><td class=prix>"
        f"{'sur demande' if car.on_request else _thousands(car.price_eur(at), chr(0xA0)) + ',00 €'}</td></tr>\n"
        for car in cars
    )
    following = f'<a rel="next" href="/annonces?page={page + 1}">Suivante »</a>' if page < last else ""
    return (
        '<html><head><meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">'
        f"<title>Véhicules d’occasion – page {page}</title></head><body>\n"
        f'<table id="liste"><tr><th>Réf.<th>Véhicule<th>Année<th>Kilométrage<th>Énergie<th>Ville<th>Prix</tr>\n'
        f'{rows}</table>\n<p class="nav">{following}</p></body></html>'
    )


def embedded(
    cars: Sequence[tuple[Car, object, object]], data: str, linked: str, page: int, last: int, at: datetime
) -> str:
    """A page of a site that is drawn from the JSON in it; `cars` come with their identity and address."""
    articles = "".join(
        f'<article id="{identity}" data-make="{car.make.lower()}" data-price="{car.price_eur(at)}" '
        f'data-mileage="{"" if car.mileage_km is None else car.mileage_km}"><a href="{url}"><h2>'
        f"{escape(car.make.title())} {escape(car.version)}</h2></a><p>{_thousands(car.price_eur(at), '.')},- €</p>"
        "</article>\n"
        for car, identity, url in cars
    )
    following = f'<a rel="next" href="/angebote?page={page + 1}">Weiter</a>' if page < last else ""
    return (
        '<!DOCTYPE html><html lang="de"><head><meta charset="utf-8"><title>Gebrauchtwagen</title>'
        f'<script type="application/ld+json">{linked}</script></head><body><main>\n{articles}</main>'
        f'<nav>{following}</nav><script id="__NEXT_DATA__" type="application/json">{data}</script></body></html>'
    )


def detail(car: Car, at: datetime) -> str:
    """The page of one car."""
    return _frame(
        f"<h1>{escape(car.make)} {escape(car.version)}</h1><dl><dt>Mise en circulation</dt>"
        f"<dd>{car.registered:%m/%Y}</dd><dt>Puissance</dt><dd>{car.power_hp} ch</dd><dt>Prix</dt>"
        f"<dd>{_price(car, at)}</dd></dl>"
    )


def _row(car: Car, at: datetime, price_class: str) -> str:
    year = "" if car.year is None else str(car.year)
    mileage = "" if car.mileage_km is None else f"{_spaced(car.mileage_km, car.number)}km / "
    return (
        f'<a title="" href="{address(car)}" alt="">\n<span><img class="lazy" data-original="/photo/{car.number}.jpg" '
        f'src="/images/attente.gif"></span>\n<span class="nom">{escape(car.make)} {escape(car.model)} </span>\n'
        f'<span class="info">{escape(car.version)}</span>\n'
        f'<span class="vehiculeinfos">{year} / {mileage}{car.fuel}</span>\n'
        f'<span class="info concession">Occasions {escape(car.dealer)}</span>\n\n'
        f'<span class="{price_class}">{_price(car, at)}</span>\n</a>\n'
    )


def _price(car: Car, at: datetime) -> str:
    return "Nous consulter" if car.on_request else f"{_spaced(car.price_eur(at), car.number // 7)} €"


def _spaced(number: int, chance: int) -> str:
    """A number with one of the four ways of the site to part its thousands."""
    return _thousands(number, BLANKS[chance % len(BLANKS)])


def _thousands(number: int, sign: str) -> str:
    return f"{number:,}".replace(",", sign)


def _with_banners(rows: list[str]) -> str:
    return "".join(row + (BANNER + "\n" if i % 14 == 4 else "") for i, row in enumerate(rows))


def _pager(page: int, last: int, seed: int, name: str) -> str:
    """Links to the pages around this one, all with a parameter that says where they were clicked."""
    sid = hashlib.blake2b(f"{seed}:{page}".encode(), digest_size=4).hexdigest()

    def link(n: int, text: str) -> str:
        target = f"/voiture?action=liste&amp;parc%5B%5D=1&amp;sid={sid}&amp;entrant={n}"
        return f'<li><a href="{target}" title="page {n}">{text}</a></li>'

    around = range(max(1, page - 4), min(last, page + 4) + 1)
    items = [f'<li><span class="page_on">{n}</span></li>' if n == page else link(n, str(n)) for n in around]
    if page < last:
        items.append(link(page + 1, "&gt;&gt;"))
    return f'<div id="{name}"><ul>\n{"".join(items)}</ul></div>'


def _frame(content: str) -> str:
    return (
        '<html dir="ltr" lang="fr"><head>\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\n'
        "<title>Voitures d'occasion | Groupe Démo</title>\n"
        '<script>var panier = [], suivi = "<a href=\\"/voiture?entrant=0\\">";</script></head>\n'
        '<body><ul id="tri"><li><a href="/recherche?tri=prix">Trier par prix</a></li>'
        f'<li><a href="/compte">Mon compte</a></li></ul>\n{content}\n<footer>Groupe Démo, Caen</footer></body></html>'
    )
