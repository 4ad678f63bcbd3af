"""The status page: the status document as HTML that needs nothing but itself.

Rules kept here: whatever the document holds is text, never markup (the template escapes all of it); no
request leaves the page and no script is in it; a link of the page has what was asked for and no key.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from probe.page.contents import Asked, broken, contents

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["Asked", "headers", "html"]


def html(body: Mapping[str, Any], asked: Asked, *, runbook: str | None = None) -> str:
    """Return the page of a status document. ``runbook`` is the runbook's address, where it has one."""
    shown = broken(body) if body.get("problems") else contents(body, asked, runbook=runbook)
    return _template().render(css=_css(), **shown)


def headers(refresh: int | None) -> dict[str, str]:
    """Return the headers that go with a page, which asks for itself again after so many seconds.

    The style is named by its digest, so that none but ours is used, whatever gets into the page.
    """
    digest = base64.b64encode(hashlib.sha256(_css().encode()).digest()).decode()
    policy = (
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
    again = {"Refresh": str(refresh)} if refresh else {}
    return {"Content-Security-Policy": "; ".join(policy), **again}


@cache
def _css() -> str:
    return files(__name__).joinpath("status.css").read_text(encoding="utf-8")


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined, select_autoescape  # noqa: PLC0415 - 0.1 s, for people alone

    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(files(__name__).joinpath("status.html").read_text(encoding="utf-8"))
