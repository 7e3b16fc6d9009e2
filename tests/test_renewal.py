"""A renewed TLS certificate: new connections get it without a restart, and a wrong one changes nothing."""

from __future__ import annotations

import contextlib
import shutil
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from bento.renewal import LOOK_S, Renewal
from bento.tls import Pair
from tests import certificates


class Ticks:
    """Seconds that go on when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    files = certificates.made(tmp_path)
    return Pair(files.certificate, files.key)


@pytest.fixture
def renewal(pair: Pair) -> tuple[Renewal, Ticks]:
    ticks = Ticks()
    return Renewal(pair.context, pair.certificate, pair.key, ticks=ticks), ticks


def handed_out(context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a client of this context gets."""
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client = trusting.wrap_bio(client_in, client_out)
    server = context.wrap_bio(server_in, server_out, server_side=True)
    for _ in range(4):
        for end in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
            server_in.write(client_out.read())
            client_in.write(server_out.read())
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def test_new_connections_get_the_renewed_pair(
    pair: Pair, renewal: tuple[Renewal, Ticks], tmp_path: Path
) -> None:
    (renewed, ticks), first = renewal, certificates.serial(pair.certificate)
    assert handed_out(renewed.context) == first
    certificates.put(certificates.made(tmp_path, "second"), pair.certificate, pair.key)
    assert handed_out(renewed.context) == first, "the files are not looked at for every connection"
    ticks.now = LOOK_S
    assert handed_out(renewed.context) == certificates.serial(pair.certificate) != first


def test_half_a_pair_changes_nothing_until_the_other_half_comes(
    pair: Pair, renewal: tuple[Renewal, Ticks], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (renewed, ticks), first = renewal, certificates.serial(pair.certificate)
    second = certificates.made(tmp_path, "second")
    shutil.copy(second.certificate, pair.certificate)
    for ticks.now in (LOOK_S, 2 * LOOK_S):
        assert handed_out(renewed.context) == first
    assert len(caplog.records) == 1, "told once"
    pair.key.unlink()
    ticks.now = 3 * LOOK_S
    assert handed_out(renewed.context) == first
    certificates.put(second, pair.certificate, pair.key)
    ticks.now = 4 * LOOK_S
    assert handed_out(renewed.context) == certificates.serial(second.certificate)
