"""Which addresses may be asked: http and https alone, and private networks only where the source names them."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from perennial.config_web import WebSource
from perennial.data.fetch.outcomes import FetchOutcome, failure

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.ip_network("64:ff9b::/96")
CLOUD_AND_LOCAL = tuple(  # not public, though `ipaddress` calls them global
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's platform services
        "192.0.0.0/24",  # IETF protocol assignments, Oracle Cloud's metadata
        "fec0::/10",  # site-local, RFC 3879
    )
)


class PrivateAddressError(OSError):
    """A name stands for private addresses alone."""


class AddressRules:
    """The hosts of one source that may be asked although they are in private networks.

    Those are host and port of every base_url, and the hosts (with or without a port) in `private_hosts`.
    """

    def __init__(self, source: WebSource) -> None:
        bases = (source.base_url, *(feed.base_url for feed in source.feeds.values()))
        urls = [parse_address(base) for base in bases if base]
        self._allowed = {host.lower().strip("[]") for host in source.private_hosts}
        self._allowed |= {f"{url.raw_host}:{url.port}" for url in urls}

    def check(self, url: URL) -> None:
        """Raises FetchError unless `url` is http or https and does not spell out a private address."""
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise failure(FetchOutcome.BAD_ADDRESS, url)
        address = literal_address(url.raw_host)
        if address and not is_public(address) and not self.may_be_private(url.raw_host, url.port):
            raise failure(FetchOutcome.PRIVATE_ADDRESS, url, f"{address} is a private address")

    def may_be_private(self, host: str, port: int | None) -> bool:
        """Whether the source itself names this host."""
        host = host.lower()
        return host in self._allowed or f"{host}:{port}" in self._allowed


class PublicResolver(AbstractResolver):
    """Resolves names, and leaves out private addresses of hosts that the source does not name."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules
        self._names = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host` that may be asked; raises PrivateAddressError where none is left."""
        found = await self._names.resolve(host, port, family)
        if self._rules.may_be_private(host, port):
            return found
        public = [one for one in found if is_public(ipaddress.ip_address(one["host"]))]
        if found and not public:
            raise PrivateAddressError(f"{host} stands for the private address {found[0]['host']}")
        return public

    async def close(self) -> None:
        """Ends the resolver."""
        await self._names.close()


def parse_address(text: str, base: URL | None = None) -> URL:
    """An absolute address without its fragment, relative ones joined to `base`; raises FetchError."""
    try:
        url = URL(text)
        url = base.join(url) if base else url
        return url.with_fragment(None) if url.raw_host else url
    except ValueError as error:
        raise failure(FetchOutcome.BAD_ADDRESS, text, f"{text[:200]!r} is no address ({error})") from error


def literal_address(host: str) -> Address | None:
    """The address that `host` spells out, in any form that a socket understands; None for a name.

    >>> [str(literal_address(host)) for host in ("127.0.0.1", "2130706433", "0177.1", "::1", "example.org")]
    ['127.0.0.1', '127.0.0.1', '127.0.0.1', '::1', 'None']
    """
    try:
        if ":" in host:
            return ipaddress.IPv6Address(host.replace("%25", "%"))
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, ValueError):
        return None


def is_public(address: Address) -> bool:
    """Whether an address is in the public internet, seen through every way of wrapping IPv4 in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    if address.is_multicast or address.is_reserved:
        return False
    return address.is_global and not any(address in network for network in CLOUD_AND_LOCAL)
