"""What is taken out of any text before it is shown, logged or sent: the queries of URLs.

A shared access signature stands in a URL's query, and whoever reads it may use it. Rules kept here: nothing
of a query is kept, since which of its names are secret is Azure's to change; one that was encoded and so
passes for a path is cut off as well, and so is a signature that a quote or a bracket parts from its query.
"""

import re

_QUERY = re.compile(r"""(?:\?|%3[Ff])[^\s'"<>()]+|\bsig=[^\s'"<>()&]+""", re.IGNORECASE)


def without_queries(text: str) -> str:
    """Return the text with ``?…`` in place of whatever may be the query of a URL."""
    return _QUERY.sub("?…", text)
