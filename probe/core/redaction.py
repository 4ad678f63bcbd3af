"""What is taken out of any text before it is shown, logged, kept or sent: secrets, whoever put them there.

Two questions, and one knowledge of what secrets look like. ``is_secret`` is asked of a setting's value, which
is then not shown at all. ``without_secrets`` cleans a sentence and leaves the rest of it readable: most of
all one with a stranger's words in it, since a server may send back what it was sent, the signature in the
query or the token in the header.

Rules kept here: nothing of a URL's query is kept, since which of its names are secret is Azure's to change;
one that was encoded, and so passes for a path, is cut off as well; to clean twice is to clean once.
"""

import re
from urllib.parse import unquote

# From a word's beginning only: from each of its characters, a long one would take seconds.
_PADDED = r"(?<![A-Za-z0-9+/%_-])[A-Za-z0-9+/%_-]{20,}(?:=|%3[Dd]){1,2}"
_JWT = r"\beyJ[A-Za-z0-9_-]{10,}[A-Za-z0-9_.-]*"
_CLIENT_SECRET = r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]*"  # noqa: S105 - what one looks like
"""Entra's, as gitleaks (azure-ad-client-secret) knows it."""
_SHAPED = re.compile(f"{_PADDED}|{_JWT}|{_CLIENT_SECRET}")
_USER = re.compile(r"//[^/\s]*@")
_WORD = re.compile(r"[A-Za-z0-9+_~/%]{20,}")
_NAMES = "key|signature|sig|secret|password|pwd|token"

_SAID = re.compile(rf"({_NAMES}|credential)[\"']?\s*[=:]|\bbearer ", re.IGNORECASE)
"""How a setting's value says that it holds a secret; in a sentence it would be an innocent colon, mostly."""

_SUSPECT = re.compile(r"[?%=~@\"']|bearer|eyJ|[A-Za-z0-9+_/]{20}", re.IGNORECASE)
"""What every secret has that is known here, so that most texts cost one look."""
_QUERY = re.compile(r"""(?:\?|%3[Ff])[^\s'"<>()]+|\bsig=[^\s'"<>()&]+""", re.IGNORECASE)
_NAMED = re.compile(
    rf"((?:{_NAMES})(?:=|[\"']?\s*[=:]\s*[\"'])|\bbearer )[^\s\"'<>&;,()]{{8,}}", re.IGNORECASE
)


def is_secret(text: str, *, shortest: int = 20) -> bool:
    """Return whether a text may hold a secret, as it stands or percent-encoded, once or twice.

    ``shortest`` are the characters of a word that is suspect for looking random alone.
    """
    decoded = unquote(text)
    return any(
        _SAID.search(each)
        or _USER.search(each)
        or _SHAPED.search(each)
        or any(len(word) >= shortest and _is_random(word) for word in _WORD.findall(each))
        for each in {text, decoded, unquote(decoded)}
    )


def without_secrets(text: str) -> str:
    """Return the text with ``…`` in place of what may be a secret, and ``?…`` of the query of a URL."""
    if not _SUSPECT.search(text):
        return text
    text = _NAMED.sub(r"\1…", _USER.sub("//…@", _QUERY.sub("?…", text)))
    return _WORD.sub(lambda word: "…" if _is_random(word[0]) else word[0], _SHAPED.sub("…", text))


def _is_random(word: str) -> bool:
    """Return whether a long word is of capitals, small letters and digits, as keys and secrets are.

    Names that people give are seldom so, and a path, which has many strokes, is of names. A key without its
    padding, which nothing else gives away, always is.
    """
    if word.count("/") > len(word) // 16:
        return False
    return all(any(map(kind, unquote(word))) for kind in (str.isupper, str.islower, str.isdecimal))
