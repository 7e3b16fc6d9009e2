"""Which addresses are asked: none in private networks, by whatever way they are spelt or reached."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from aiohttp import web
from fetch_host import FEED, fetching, once, saying, serving
from hypothesis import given
from hypothesis import strategies as st

from perennial.data.answer import Request
from perennial.data.fetch.addresses import is_public, literal_address
from perennial.errors import FetchError

PRIVATE = """
    127.0.0.1 127.255.255.254 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.100.100.200 0.0.0.0
    168.63.129.16 192.0.0.192 224.0.0.1 255.255.255.255 198.18.0.1
    ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 ::127.0.0.1 ::ffff:127.0.0.1
    ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2001:0:7f00:1::
"""
PUBLIC = """
    8.8.8.8 1.1.1.1 93.184.216.34 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808
"""


@pytest.mark.parametrize("text", PRIVATE.split())
def test_a_private_address_is_known_in_every_wrapping(text: str) -> None:
    address = literal_address(text)
    assert address is not None
    assert not is_public(address)


@pytest.mark.parametrize("text", PUBLIC.split())
def test_a_public_address_is_public(text: str) -> None:
    address = literal_address(text)
    assert address is not None
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_address_is_the_same_address(address: ipaddress.IPv4Address) -> None:
    a, b, c, d = address.packed
    number = int(address)
    spellings = [
        f"{a}.{b}.{c}.{d}",
        f"{number}",
        f"0x{number:x}",
        f"0{number:o}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"0x{a:x}.{b}.0{c:o}.{d}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{a}.{b}.{c}.{d}.",
    ]
    assert {literal_address(text) for text in spellings} == {address}
    for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}", f"2002:{a:02x}{b:02x}:{c:02x}{d:02x}::"):
        inner = literal_address(wrapped)
        assert inner is not None
        assert is_public(inner) == is_public(address)


def test_only_the_hosts_that_the_source_names_may_be_private() -> None:
    async def scene() -> None:
        async with (
            serving(lambda _: web.Response(text="ok")) as ours,
            serving(lambda _: web.Response()) as other,
        ):
            port = other.url.rpartition(":")[2]
            assert await once(f"{ours.url}/x", ours.url) == "200"
            assert await once(other.url, ours.url) == "private_address"
            assert await once(f"http://localhost:{port}/", ours.url) == "private_address"
            assert other.requests == []
            for named in ("127.0.0.1", f"127.0.0.1:{port}"):
                assert await once(other.url, ours.url, private_hosts=[named]) == "200"
            assert await once(other.url, ours.url, private_hosts=["127.0.0.1:1"]) == "private_address"
            assert await once(f"http://localhost:{port}/", ours.url, private_hosts=["localhost"]) == "200"
            assert len(other.requests) == 3

    asyncio.run(scene())


def test_a_base_url_of_a_feed_may_be_private_too() -> None:
    async def scene() -> None:
        async with serving(lambda _: web.Response(text="ok")) as ours:
            feeds = {"f": {**FEED, "base_url": f"{ours.url}/deep/"}}
            async with fetching("", feeds=feeds) as fetcher:
                assert (await fetcher.get(Request(f"{ours.url}/x"))).body == b"ok"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        ("http://169.254.169.254/latest/meta-data/", "private_address"),
        ("http://127.0.0.1:{port}/", "private_address"),
        ("http://localhost:{port}/", "private_address"),
        ("http://[::1]:{port}/", "private_address"),
        ("http://[::ffff:127.0.0.1]:{port}/", "private_address"),
        ("http://2130706433:{port}/", "private_address"),
        ("http://0177.0.0.1:{port}/", "private_address"),
        ("http://0x7f.1:{port}/", "private_address"),
        ("http://127.1:{port}/", "private_address"),
        ("http://①27.0.0.1:{port}/", "private_address"),
        ("//127.0.0.1:{port}/", "private_address"),
        ("http://user@127.0.0.1:{port}/", "private_address"),
        ("file:///etc/passwd", "bad_address"),
        ("ftp://127.0.0.1/", "bad_address"),
        ("javascript:alert(1)", "bad_address"),
        ("http://[broken/", "bad_address"),
        ("", "bad_redirect"),
    ],
)
def test_a_redirect_is_checked_like_a_first_address(target: str, outcome: str) -> None:
    async def scene() -> None:
        async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") as secret:
            location = target.format(port=secret.url.rpartition(":")[2])
            headers = {"Location": location} if location else {}
            async with serving(lambda _: web.Response(status=302, headers=headers)) as ours:
                assert await once(ours.url) == outcome
                assert len(ours.requests) == 1
            assert secret.requests == []

    asyncio.run(scene())


@pytest.mark.parametrize(
    "url", ["", "/relative", "ftp://example.org/", "http://a%3Ab:c@10.0.0.1/", "http://a:b:c/"]
)
def test_what_is_no_web_address_is_named(url: str) -> None:
    assert asyncio.run(once(url, "http://127.0.0.1:1")) == "bad_address"


def test_no_error_shows_credentials() -> None:
    async def scene() -> str:
        async with fetching("http://127.0.0.1:1") as fetcher:
            with pytest.raises(FetchError) as caught:
                await fetcher.get(Request("http://me:hunter2@10.0.0.1/x?a=1"))
            return f"{caught.value} {caught.value.url}"

    said = asyncio.run(scene())
    assert "hunter2" not in said
    assert "http://10.0.0.1/x?a=1" in said
