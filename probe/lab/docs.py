"""The README's generated parts: ``make docs`` writes them anew, a test checks that they are current.

Rules: a part stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->`` and is made from the code's own
tables; everything else in the README is written by hand.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from probe import settings
from probe.core import breaker

README = Path(__file__).parents[2] / "README.md"


def diagram() -> str:
    """Return the breaker's state diagram, from its table."""
    return f"```mermaid\n{breaker.diagram()}\n```"


def settings_table() -> str:
    """Return the table of our settings, from the model that parses them."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, (field, info) in settings.FIELDS.items():
        default = (
            ""
            if info.default is None
            else f"`{str(info.default).lower() if isinstance(info.default, bool) else info.default}`"
        )
        each = " ¹" if field in settings.PER_TARGET else ""
        rows.append(f"| `{name}`{each} | {default} | {info.description} |")
    return "\n".join(rows)


def parts() -> Mapping[str, Callable[[], str]]:
    """Return the generated parts by name."""
    from probe.adapters.telemetry import catalogue  # noqa: PLC0415 - optional until it is asked for

    return {"breaker": diagram, "settings": settings_table, "telemetry": catalogue.markdown}


def renewed(text: str) -> str:
    """Return the README with its generated parts made anew. Raises ``ValueError`` when one has no place."""
    for name, make in parts().items():
        pattern = re.compile(rf"<!-- {name}:begin -->\n.*?<!-- {name}:end -->", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no part <!-- {name}:begin --> … <!-- {name}:end -->")
        before, after = pattern.split(text)[0], pattern.split(text)[-1]
        text = f"{before}<!-- {name}:begin -->\n{make()}\n<!-- {name}:end -->{after}"
    return text


def main() -> int:
    old = README.read_text(encoding="utf-8")
    new = renewed(old)
    README.write_text(new, encoding="utf-8")
    print("README.md is current." if new == old else "README.md was renewed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
