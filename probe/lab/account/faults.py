"""The faults of the lab, as one table that the admin port, the keys and the documentation are made from.

A fault is a value. Some are of the *connection* (dns, refuse, connect_drop, tls): they strike before any
request can be seen, so they cannot be limited to some requests. All others strike a request.
"""

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, assert_never

from probe.lab.errors import FaultError


class Kind(StrEnum):
    DNS = "dns"
    REFUSE = "refuse"
    BLACK_HOLE = "black_hole"
    CONNECT_DROP = "connect_drop"
    LATENCY = "latency"
    HEADER_DRIP = "header_drip"
    BODY_DRIP = "body_drip"
    TRUNCATE = "truncate"
    RESET = "reset"
    GARBAGE = "garbage"
    TLS = "tls"
    STATUS = "status"
    CORRUPT = "corrupt"
    STALE = "stale"
    FLAP = "flap"


class Only(StrEnum):
    """Which requests a fault strikes."""

    ALL = "all"
    READS = "reads"
    WRITES = "writes"


class TlsMode(StrEnum):
    UNTRUSTED = "untrusted"
    EXPIRED = "expired"
    WRONG_HOST = "wrong_host"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSpec:
    """What a kind of fault does, the options that it takes besides its scope, and its key on a terminal."""

    summary: str
    options: tuple[str, ...] = ()
    key: str = ""
    of_connection: bool = False


KINDS: Mapping[Kind, KindSpec] = {
    Kind.DNS: KindSpec(
        summary="the name does not resolve (needs a lab with names); open connections live on",
        key="n",
        of_connection=True,
    ),
    Kind.REFUSE: KindSpec(
        summary="the port is closed: connections are refused, open ones reset", key="r", of_connection=True
    ),
    Kind.BLACK_HOLE: KindSpec(summary="accepts and reads, never answers", key="b"),
    Kind.CONNECT_DROP: KindSpec(
        summary="the SYN gets no answer; open connections fall silent", key="d", of_connection=True
    ),
    Kind.LATENCY: KindSpec(summary="answers `seconds` later", options=("seconds",), key="l"),
    Kind.HEADER_DRIP: KindSpec(
        summary="sends the head a byte each `interval`", options=("interval",), key="h"
    ),
    Kind.BODY_DRIP: KindSpec(summary="sends the body a byte each `interval`", options=("interval",), key="y"),
    Kind.TRUNCATE: KindSpec(summary="promises the whole body, sends half and closes cleanly", key="t"),
    Kind.RESET: KindSpec(summary="resets the connection in the middle of the body", key="x"),
    Kind.GARBAGE: KindSpec(summary="answers with what is not HTTP, then closes", key="g"),
    Kind.TLS: KindSpec(
        summary="the handshake fails: a certificate that is untrusted, expired or for the wrong_host, or "
        "plain text (`mode`); over plain http: a TLS alert record instead of an answer",
        options=("mode",),
        key="s",
        of_connection=True,
    ),
    Kind.STATUS: KindSpec(
        summary="answers `code` with Azure's error document (`error` overrides its error code)",
        options=("code", "error"),
        key="e",
    ),
    Kind.CORRUPT: KindSpec(summary="flips a byte of the body, same length", key="c"),
    Kind.STALE: KindSpec(
        summary="answers with the version of a blob that was `versions` back when the fault was switched on",
        options=("versions",),
        key="o",
    ),
    Kind.FLAP: KindSpec(
        summary="alternates the fault `of` (with its options) and health, each for `period` seconds, or "
        "strikes `every` n-th request",
        options=("of", "period", "every", "seconds", "interval", "mode", "code", "error", "versions"),
        key="f",
    ),
}

SCOPE = ("only", "path")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: its kind, its options, and the requests it is limited to.

    `path` is a part of the request target (path and query), such as `HelloWorld.png` or `comp=stats`.
    """

    kind: Kind
    seconds: float = 3.0
    interval: float = 0.5
    mode: TlsMode = TlsMode.UNTRUSTED
    code: int = 503
    error: str = ""
    versions: int = 1
    of: Kind = Kind.STATUS
    period: float = 2.0
    every: int = 0
    only: Only = Only.ALL
    path: str = ""

    def __str__(self) -> str:
        shown = (*KINDS[self.kind].options, *SCOPE)
        blank = Fault(kind=self.kind)
        told = [
            f"{name}={getattr(self, name)}" for name in shown if getattr(self, name) != getattr(blank, name)
        ]
        if self.kind is Kind.STATUS and self.code == blank.code:
            told.insert(0, f"code={self.code}")
        return " ".join([self.kind, *told])

    @property
    def effect(self) -> "Fault":
        """What strikes: the fault itself, or the one that a flap alternates with health."""
        return replace(self, kind=self.of) if self.kind is Kind.FLAP else self

    def strikes(self, method: str, target: str) -> bool:
        """Whether a request is within the fault's scope."""
        match self.only:
            case Only.ALL:
                mine = True
            case Only.READS:
                mine = is_read(method)
            case Only.WRITES:
                mine = not is_read(method)
            case _:
                assert_never(self.only)
        return mine and self.path in target

    def on_at(self, elapsed: float) -> bool:
        """Whether the fault is on, `elapsed` seconds after it was made: a flap begins with its fault."""
        if self.kind is not Kind.FLAP or self.every:
            return True
        return int(elapsed / self.period) % 2 == 0

    def on_nth(self, count: int) -> bool:
        """Whether the `count`-th request in scope (from 1) is struck."""
        return not (self.kind is Kind.FLAP and self.every) or count % self.every == 0


def is_read(method: str) -> bool:
    return method in {"GET", "HEAD", "OPTIONS"}


def fault(kind: str, **options: object) -> Fault:
    """Return the fault of that kind, with options given as values or as text.

    Raises:
        FaultError: no such kind, an option that it does not take, or a value out of bounds.

    """
    try:
        chosen = Kind(kind.replace("-", "_"))
    except ValueError:
        raise FaultError(f"no fault is called {kind!r}; the kinds are: {', '.join(Kind)}") from None
    allowed = (*KINDS[chosen].options, *SCOPE)
    if unknown := sorted(set(options) - set(allowed)):
        raise FaultError(f"{chosen} takes no {', '.join(unknown)}; its options are: {', '.join(allowed)}")
    values: dict[str, Any] = {name: _value(name, value) for name, value in options.items()}
    made = replace(Fault(kind=chosen), **values)
    _check(made)
    return made


_TYPES: Mapping[str, type] = {
    field.name: field.type for field in fields(Fault) if isinstance(field.type, type)
}
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "seconds": (0, 3600),
    "interval": (0, 3600),
    "code": (200, 599),
    "versions": (1, 16),
    "period": (0.05, 3600),
    "every": (0, 1_000_000),
}


def _value(name: str, value: object) -> object:
    kind = _TYPES[name]
    text = str(value)
    try:
        made: object = kind(text.replace("-", "_") if issubclass(kind, StrEnum) else text)
    except ValueError:
        valid = ", ".join(kind) if issubclass(kind, StrEnum) else f"a number ({kind.__name__})"
        raise FaultError(f"{name}={text!r} is not valid; it is: {valid}") from None
    if name in _BOUNDS and isinstance(made, (int, float)):
        low, high = _BOUNDS[name]
        if not (math.isfinite(made) and low <= made <= high):
            raise FaultError(f"{name}={text} is out of bounds; it is from {low:g} to {high:g}")
    return made


def _check(made: Fault) -> None:
    if made.kind is Kind.FLAP and made.of is Kind.FLAP:
        raise FaultError("a flap cannot alternate with a flap")
    limited = made.only is not Only.ALL or made.path or (made.kind is Kind.FLAP and made.every)
    if limited and KINDS[made.effect.kind].of_connection:
        raise FaultError(
            f"{made.effect.kind} strikes the connection before any request is seen: it cannot be limited to "
            "some requests (black_hole, reset, garbage and status can)"
        )


def kinds_table(*, width: int = 100) -> str:
    """Return the kinds as lines of text: name, what it does, its options with their defaults."""
    lines = []
    for kind, spec in KINDS.items():
        blank = Fault(kind=kind)
        options = " ".join(f"{name}={getattr(blank, name)}" for name in spec.options)
        told = f"{spec.summary} [{options}]" if options else spec.summary
        lines += textwrap.wrap(told, width, initial_indent=f"  {kind:<14}", subsequent_indent=" " * 16)
    return "\n".join(lines)
