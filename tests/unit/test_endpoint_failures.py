"""What ended an exchange is told by its phase, and what says nothing of the endpoint is told as that."""

import errno
import socket
import ssl

import pytest

from probe.adapters.answer import Ended, NotHttp
from probe.adapters.failures import SEEN, Where, judged, plain, unusable
from probe.adapters.phases import Phase
from probe.core.errors import ConfigurationError, ProbeError
from probe.core.reading import fault_of

HERE = "account.example:443"


def where(phase: Phase | None = None, **more) -> Where:
    return Where(address=HERE, phase=phase, **more)


@pytest.mark.parametrize(
    ("error", "phase", "expected"),
    [
        (socket.gaierror(-2, "unknown"), Phase.DNS, "dns"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "text"), Phase.CONNECT, "refused"),
        (OSError(errno.EHOSTUNREACH, "text"), Phase.CONNECT, "refused"),
        (TimeoutError(errno.ETIMEDOUT, "text"), Phase.CONNECT, "connect_timeout"),
        (ConnectionResetError(errno.ECONNRESET, "text"), Phase.CONNECT, "reset"),
        (ConnectionResetError(errno.ECONNRESET, "text"), Phase.TLS, "tls"),
        (ConnectionAbortedError("text"), Phase.TLS, "tls"),
        (ssl.SSLError(1, "text"), Phase.TLS, "tls"),
        (ssl.SSLCertVerificationError(1, "bad"), Phase.TLS, "tls"),
        (ssl.SSLError(1, "text"), Phase.TRANSFER, "tls"),
        (TimeoutError(), Phase.DNS, "dns"),
        (TimeoutError(), Phase.CONNECT, "connect_timeout"),
        (TimeoutError(), Phase.TLS, "tls"),
        (TimeoutError(), Phase.TTFB, "timeout"),
        (TimeoutError(), Phase.TRANSFER, "timeout"),
        (TimeoutError(), None, "timeout"),
        (TimeoutError(errno.ETIMEDOUT, "text"), Phase.TTFB, "reset"),
        (Ended(), Phase.TTFB, "reset"),
        (Ended(), Phase.TRANSFER, "truncated"),
        (BrokenPipeError(errno.EPIPE, "text"), Phase.TTFB, "reset"),
        (ConnectionResetError(errno.ECONNRESET, "text"), Phase.TRANSFER, "reset"),
        (NotHttp(), Phase.TTFB, "protocol"),
        (NotHttp(), Phase.TRANSFER, "protocol"),
    ],
    ids=lambda each: getattr(each, "value", None) or (type(each).__name__ if each else "no phase"),
)
def test_what_ended_an_exchange_in_a_phase_has_its_error_type(error, phase, expected):
    failure = judged(error, where(phase))

    assert isinstance(error, SEEN)
    assert failure.error_type == expected
    assert fault_of(failure.error_type)
    assert failure.detail.startswith(HERE)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
def test_what_this_machine_lacks_is_no_failure_of_the_endpoint(number):
    with pytest.raises(ProbeError, match="this machine cannot open another connection"):
        judged(OSError(number, "text"), where(Phase.CONNECT))


def test_a_url_that_cannot_be_used_is_our_configuration_and_is_not_shown_whole():
    error = unusable("http://[::/?sig=secret")

    assert isinstance(error, ConfigurationError)
    assert "secret" not in str(error)


def test_a_reused_connection_is_named_as_that():
    assert "the reused connection" in judged(Ended(), where(Phase.TTFB, reused=True)).detail


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
