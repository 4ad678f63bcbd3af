"""Remembers the last versions of each blob that passed, so that an older one can be served; bounded.

A path is the blob's `/container/blob`, the same for both locations. Only whole bodies up to `BODY_LIMIT` are
kept.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from multidict import CIMultiDict

from probe.lab.account.wire import Answer, Request

VERSIONS = 17  # 16 back from the newest
PATHS = 256
BODY_LIMIT = 1024 * 1024

_OF_A_VERSION = (
    "etag",
    "last-modified",
    "content-type",
    "content-encoding",
    "content-language",
    "content-md5",
)
_META = "x-ms-meta-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a blob was at one time: its ETag, its own headers (metadata among them) and its body."""

    etag: str
    headers: CIMultiDict[str]
    body: bytes


class History:
    def __init__(self) -> None:
        self._paths: OrderedDict[str, list[Version]] = OrderedDict()

    def saw(self, request: Request, answer: Answer) -> None:
        """Learn from one request that was answered: a read of a whole blob, or a blob put in one piece."""
        if request.method == "GET" and _is_whole(answer) and "x-ms-blob-type" in answer.headers:
            own = CIMultiDict((n, v) for n, v in answer.headers.items() if _is_own(n))
            self._add(request, own, answer.body)
        elif _is_put(request, answer):
            self._add(request, _as_read(request, answer), request.body)

    def _add(self, request: Request, headers: CIMultiDict[str], body: bytes) -> None:
        path, etag = blob_path(request.target), headers.get("etag", "")
        versions = self._paths.setdefault(path, [])
        if len(body) > BODY_LIMIT or any(known.etag == etag for known in versions):
            return
        versions.append(Version(etag=etag, headers=headers, body=body))
        del versions[:-VERSIONS]
        self._paths.move_to_end(path)
        if len(self._paths) > PATHS:
            self._paths.popitem(last=False)

    def back(self, versions: int) -> Mapping[str, Version]:
        """Return, for each path, the version so many back from its newest, or the oldest known."""
        return {
            path: known[max(0, len(known) - 1 - versions)] for path, known in self._paths.items() if known
        }


def blob_path(target: str) -> str:
    """Return `/container/blob` of a request target: without the account and the query."""
    return "/" + target.partition("?")[0].lstrip("/").partition("/")[2]


def _is_own(name: str) -> bool:
    lower = name.lower()
    return lower in _OF_A_VERSION or lower.startswith(_META)


def _is_put(request: Request, answer: Answer) -> bool:
    return (
        request.method == "PUT"
        and answer.status == HTTPStatus.CREATED
        and "x-ms-blob-type" in request.headers
    )


def _is_whole(answer: Answer) -> bool:
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        told = re.fullmatch(r"bytes 0-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
        return told is not None and int(told[1]) + 1 == int(told[2])
    return answer.status == HTTPStatus.OK


def _as_read(request: Request, answer: Answer) -> CIMultiDict[str]:
    """Return the headers that a read of a blob just put would show."""
    own = CIMultiDict((n, v) for n, v in request.headers.items() if n.lower().startswith(_META))
    own["Content-Type"] = request.headers.get("x-ms-blob-content-type", "application/octet-stream")
    for name in ("ETag", "Last-Modified", "Content-MD5"):
        if value := answer.headers.get(name):
            own[name] = value
    return own


def as_of(version: Version, request: Request, answer: Answer) -> Answer:
    """Return the same request as if the blob still were that version, also within a range."""
    headers = CIMultiDict(
        (n, v) for n, v in answer.headers.items() if not _is_own(n) and n.lower() != "content-range"
    )
    headers.update(version.headers)
    body, status = version.body, 200
    asked = request.headers.get("x-ms-range") or request.headers.get("Range") or ""
    if span := re.fullmatch(r"bytes=(\d+)-(\d*)", asked):
        start, total = int(span[1]), len(body)
        body = body[start : int(span[2]) + 1 if span[2] else total]
        headers["Content-Range"], status = f"bytes {start}-{start + len(body) - 1}/{total}", 206
    stale = Answer(status=status, headers=headers, body=body)
    return stale.without_body() if request.method == "HEAD" else stale
