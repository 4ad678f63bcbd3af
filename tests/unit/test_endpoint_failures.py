"""The table from aiohttp's exceptions to ``error.type``: nothing of today's is missing, and phases decide."""

import errno
import socket
import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from probe.adapters.failures import TABLE, Where, failure_of, plain
from probe.adapters.phases import Phase
from probe.core.errors import ConfigurationError, ProbeError
from probe.core.reading import fault_of

HERE = "account.example:443"
KEY = SimpleNamespace(host="account.example", port=443, is_ssl=True, ssl=True)
REQUEST = SimpleNamespace(real_url="https://account.example/?sig=secret")


def where(phase: Phase | None = None, **more) -> Where:
    return Where(address=HERE, phase=phase, **more)


def subclasses(of: type) -> set[type]:
    return {each for child in of.__subclasses__() for each in {child, *subclasses(child)}}


AIOHTTP = sorted(
    (each for each in subclasses(aiohttp.ClientError) if each.__module__.split(".")[0] == "aiohttp"),
    key=lambda each: each.__name__,
)


def test_aiohttp_has_client_exceptions_to_walk():
    assert aiohttp.ClientConnectorDNSError in AIOHTTP
    assert len(AIOHTTP) > 20


@pytest.mark.parametrize("kind", AIOHTTP, ids=lambda each: each.__name__)
def test_every_client_exception_of_aiohttp_has_a_row_of_its_own_kind(kind):
    rows = [row for row, _ in TABLE if issubclass(kind, row)]

    assert rows[0] not in (aiohttp.ClientError, OSError, TimeoutError)


def test_no_row_is_hidden_by_one_above_it():
    kinds = [kind for kind, _ in TABLE]

    for index, kind in enumerate(kinds):
        assert not [above for above in kinds[:index] if issubclass(kind, above)]


def connector(kind: type, number: int) -> Exception:
    return kind(KEY, OSError(number, "text"))


@pytest.mark.parametrize(
    ("error", "phase", "expected"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "unknown")), Phase.DNS, "dns"),
        (connector(aiohttp.ClientConnectorError, errno.ECONNREFUSED), Phase.CONNECT, "refused"),
        (connector(aiohttp.ClientConnectorError, errno.EHOSTUNREACH), Phase.CONNECT, "refused"),
        (connector(aiohttp.ClientConnectorError, errno.ETIMEDOUT), Phase.CONNECT, "connect_timeout"),
        (connector(aiohttp.ClientConnectorError, errno.ECONNRESET), Phase.CONNECT, "reset"),
        (connector(aiohttp.ClientConnectorError, errno.ECONNRESET), Phase.TLS, "tls"),
        (connector(aiohttp.ClientConnectorSSLError, 1), Phase.TLS, "tls"),
        (
            aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "bad")),
            Phase.TLS,
            "tls",
        ),
        (aiohttp.ServerFingerprintMismatch(b"", b"", "h", 1), Phase.TLS, "tls"),
        (aiohttp.ConnectionTimeoutError(), Phase.DNS, "dns"),
        (aiohttp.ConnectionTimeoutError(), Phase.CONNECT, "connect_timeout"),
        (aiohttp.ConnectionTimeoutError(), Phase.TLS, "tls"),
        (TimeoutError(), Phase.TTFB, "timeout"),
        (TimeoutError(), Phase.TRANSFER, "timeout"),
        (TimeoutError(), None, "timeout"),
        (aiohttp.SocketTimeoutError(), Phase.TRANSFER, "timeout"),
        (aiohttp.ServerDisconnectedError(), Phase.TTFB, "reset"),
        (aiohttp.ClientConnectionResetError(), Phase.TTFB, "reset"),
        (aiohttp.ClientOSError(errno.EPIPE, "text"), Phase.TTFB, "reset"),
        (aiohttp.ClientPayloadError(), Phase.TRANSFER, "protocol"),
        (aiohttp.ClientResponseError(REQUEST, (), status=400), Phase.TTFB, "protocol"),
        (aiohttp.TooManyRedirects(REQUEST, ()), Phase.TTFB, "protocol"),
        (aiohttp.ClientError(), Phase.TTFB, "protocol"),
        (ssl.SSLError(1, "text"), Phase.TRANSFER, "tls"),
        (ConnectionResetError(errno.ECONNRESET, "text"), Phase.TRANSFER, "reset"),
    ],
    ids=lambda each: getattr(each, "value", None) or (type(each).__name__ if each else "no phase"),
)
def test_an_exception_in_a_phase_has_its_error_type(error, phase, expected):
    failure = failure_of(error, where(phase))

    assert failure.error_type == expected
    assert fault_of(failure.error_type)
    assert failure.detail.startswith(HERE)


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        pytest.param(aiohttp.ServerDisconnectedError(), "truncated", id="closed"),
        pytest.param(aiohttp.ClientOSError(errno.ECONNRESET, "text"), "reset", id="reset"),
        pytest.param(None, "protocol", id="still there"),
    ],
)
def test_a_body_that_did_not_end_is_judged_by_what_the_connection_met(lost, expected):
    failure = failure_of(aiohttp.ClientPayloadError(), where(Phase.TRANSFER, lost=lost))

    assert failure.error_type == expected


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
def test_what_this_machine_lacks_is_no_failure_of_the_endpoint(number):
    with pytest.raises(ProbeError, match="this machine cannot open another connection"):
        failure_of(connector(aiohttp.ClientConnectorError, number), where(Phase.CONNECT))


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.InvalidURL("http://[::/?sig=secret"),
        aiohttp.InvalidUrlClientError("http://[::/?sig=secret"),
        aiohttp.NonHttpUrlClientError("ftp://x/?sig=secret"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_url_that_cannot_be_used_is_our_configuration_and_is_not_shown_whole(error):
    with pytest.raises(ConfigurationError) as raised:
        failure_of(error, where())

    assert "secret" not in str(raised.value)


def test_a_programming_error_has_no_row():
    assert not [kind for kind, _ in TABLE if issubclass(RuntimeError, kind) or issubclass(KeyError, kind)]


@pytest.mark.parametrize(
    ("text", "washed"),
    [
        pytest.param("as it is", "as it is", id="plain"),
        pytest.param("a\nb\x1b[31m\u00e9\udcff", "a?b?[31m??", id="control and foreign"),
        pytest.param("x" * 300, "x" * 197 + "...", id="long"),
    ],
)
def test_foreign_text_becomes_short_printable_ascii(text, washed):
    assert plain(text) == washed
