"""One HTTP answer as it arrives, parsed by llhttp (through httptools) and bounded at every point.

Rules kept here:

- Strict where HTTP leaves a choice: one length or chunks, never both; no coding but ``chunked``; no line that
  a bare CR or LF ends. Whoever answers otherwise is not Azure Storage, and is told as ``NotHttp``.
- The caller says, when the head is there, how much of the body it wants, if any. What it does not want is not
  read; more than it wants ends the answer as ``too_large``. Nothing is decompressed.
- ``HEAD_LIMIT`` bounds everything that is not body, wherever it comes: the head, interim answers, chunk
  extensions, trailers. After ``INTERIM_LIMIT`` interim answers nothing more is parsed: the deadline decides.
- An answer ends once. What comes after its end is never part of it, and spoils its connection.

Sources: RFC 9110, RFC 9112; https://llhttp.org for what its strict mode refuses.
"""

from collections.abc import Callable
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from probe.adapters.phases import Phase, Stopwatch

HEAD_LIMIT: Final = 64 * 1024
"""The most bytes in a row that are not body. Azure's heads have about 1 KiB, and 8 KiB more of metadata."""
LINE_LIMIT: Final = 16 * 1024
"""The most bytes of one header line; Azure takes at most 8 KiB of metadata in all."""
LINES_LIMIT: Final = 256
"""The most header lines."""
INTERIM_LIMIT: Final = 16
"""The most answers before the answer (100 Continue and its like); Go's client stops at 5."""

type Wanted = Callable[[int], int | None]
"""Returns how many bytes of body are wanted at most with a status; ``None``: none at all, unread."""

_PART: Final = 64 * 1024
_INTERIM = range(100, 200)
_SWITCHING = 101
_VERSIONS = ("1.0", "1.1")
_FRAMING = ("content-length", "transfer-encoding")


class Ended(Exception):  # noqa: N818 - the peer's doing, told by ``failures``
    """The other side ended the connection before the answer was whole."""


class NotHttp(Exception):  # noqa: N818 - as above
    """What came is not HTTP, or more of it than anybody has reason to send."""


class Headers:
    """The lines of one head: names in lower case; of a name that came twice the first value.

    They are kept as they came, since of some twenty a reader asks for five.
    """

    __slots__ = ("_repeated", "_values")

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._repeated: set[bytes] = set()

    def add(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._values:
            self._repeated.add(name)
        else:
            self._values[name] = value

    def get(self, name: str) -> str | None:
        value = self._values.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def is_repeated(self, name: str) -> bool:
        return name.encode() in self._repeated

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._values

    def starting(self, prefix: str) -> dict[str, str]:
        """Return what stands under names that begin so, without the prefix and without what came twice."""
        start = prefix.encode()
        return {
            name[len(start) :].decode("ascii"): value.decode("latin-1")
            for name, value in self._values.items()
            if name.startswith(start) and name not in self._repeated
        }

    def items(self) -> list[tuple[str, str]]:
        return [(name.decode("ascii"), value.decode("latin-1")) for name, value in self._values.items()]


class _Enough(Exception):  # noqa: N818 - ends the parsing of an answer that needs no more of it
    pass


class Answer:
    """One answer: what has arrived of it, and how it ended.

    ``status`` is ``None`` until the head is whole. ``error`` is what ended it early: ``Ended``, ``NotHttp``,
    or what the connection met. ``reusable`` says that the connection is at the start of a next answer.
    """

    __slots__ = (
        "_head",
        "_interims",
        "_limit",
        "_lines",
        "_outside",
        "_over",
        "_parser",
        "_parts",
        "_size",
        "_until_close",
        "_wanted",
        "_watch",
        "_whole",
        "body",
        "ended",
        "error",
        "flooded",
        "headers",
        "reusable",
        "status",
        "too_large",
    )

    def __init__(self, wanted: Wanted, watch: Stopwatch) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        # Control characters in a value, as a page of something in between may have them, are washed where
        # they are told; what could be taken for another line, or the end of one, is refused all the same.
        self._parser.set_dangerous_leniencies(lenient_headers=True)
        self._wanted, self._watch = wanted, watch
        self._limit: int | None = None
        self._lines = self._head = self._outside = self._interims = self._size = 0
        self._parts: list[bytearray] = []
        self._over = self._whole = self._until_close = False
        self.headers = Headers()
        self.status: int | None = None
        self.body: bytes | None = None
        self.error: BaseException | None = None
        self.ended = self.reusable = self.too_large = self.flooded = False

    # What the connection tells

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._parser is None or self.flooded:
            self.reusable = False
            return
        size = self._size
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # only after 101: its head has said all that matters
        except HttpParserError:
            self._refuse()
        if self._over:
            self._end(None)
        self._outside = 0 if self._size > size else self._outside + len(data)
        if self._outside > HEAD_LIMIT and not self.flooded:
            self._end(NotHttp())

    def eof(self) -> None:
        """Take that nothing more will come."""
        if self._until_close and not self._over:
            self.body = b"".join(self._parts)
            self._end(None)
        else:
            self._end(Ended())

    def lost(self, error: BaseException) -> None:
        """Take that the connection broke."""
        self._end(error)

    def _refuse(self) -> None:
        """Judge what the parser, or one of the bounds below, will not read on."""
        self.reusable = False
        if not self._over and not self.flooded:
            self._end(NotHttp())

    def _end(self, error: BaseException | None) -> None:
        if not self.ended:
            self.ended, self.error = True, error
            if error is None and not self.too_large:
                self._watch.begin(None)
            self._parser, self._parts = None, []  # the parser and this hold each other

    # What the parser tells, in its own names

    def on_message_begin(self) -> None:
        if self._whole:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is not None:  # trailers, or a next answer's lines: nobody wants them
            return
        size = len(name) + len(value) + len(": \r\n")
        self._lines += 1
        self._head += size
        if size > LINE_LIMIT or self._head > HEAD_LIMIT or self._lines > LINES_LIMIT or b"\0" in value:
            raise NotHttp
        self.headers.add(name, value)

    def on_headers_complete(self) -> None:
        if self.status is not None or self._parser is None:
            return
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        if version not in _VERSIONS or status < _INTERIM.start:
            raise NotHttp
        if status in _INTERIM and status != _SWITCHING:
            self._take_interim()
            return
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if coding is not None and (
            version == "1.0" or coding.lower() != "chunked" or self.headers.is_repeated("transfer-encoding")
        ):
            raise NotHttp
        self.status, self._limit = status, self._wanted(status)
        self._watch.begin(None if self._limit is None else Phase.TRANSFER)
        if self._limit is None:
            self._over = True
        elif length is not None and int(length) > self._limit:
            self._over = self.too_large = True
        self._until_close = coding is None and length is None

    def _take_interim(self) -> None:
        if any(name in self.headers for name in _FRAMING):
            raise NotHttp
        self._interims += 1
        if self._interims > INTERIM_LIMIT:
            self.flooded = True
            raise _Enough
        self.headers = Headers()

    def on_body(self, data: bytes) -> None:
        if self._over or self._limit is None:
            return
        self._size += len(data)
        if self._size > self._limit:
            self._over = self.too_large = True
            raise _Enough
        if not self._parts or len(self._parts[-1]) >= _PART:
            self._parts.append(bytearray())
        self._parts[-1] += data  # a list of what came would cost 40 bytes for each, and a chunk may have one

    def on_message_complete(self) -> None:
        if self.status is None or self._whole or self.too_large or self._parser is None:
            return  # an interim answer's end, or a next answer's
        self._over = self._whole = True
        self.reusable = self._parser.should_keep_alive() and self.status != _SWITCHING
        if self._limit is not None:
            self.body = b"".join(self._parts)
