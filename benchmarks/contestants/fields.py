"""What every contestant reads from every item of the generated site: field -> CSS selector."""

FIRST = "page-1.html"
ITEM = "li.listing"
NEXT = "nav.pager a::attr(href)"
FIELDS = {
    "id": "::attr(data-id)",
    "title": "h2.title a::text",
    "url": "h2.title a::attr(href)",
    "price": "span.price::text",
    "year": "dd.year::text",
    "mileage": "dd.mileage::text",
    "fuel": "dd.fuel::text",
    "place": "p.place::text",
}
