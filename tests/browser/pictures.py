"""Takes the README's pictures of the status page: ``make pictures``."""

from pathlib import Path

from probe import page
from tests.browser import driven, staged

FOLDER = Path(__file__).parents[2] / ".github"
PICTURES = {
    "status-outage": ("outage", {"width": 1100, "height": 640, "theme": "light"}),
    "status-failover": ("failover with loss", {"width": 390, "height": 870, "theme": "dark"}),
}


def main() -> None:
    with driven.browser() as browser, driven.shelf() as shelf:
        for file, (name, how) in PICTURES.items():
            html = page.html(staged.document(name), page.Asked(refresh=30))
            browser("open", url=shelf.put(name, html, page.headers(30)), **how)
            browser("shot", path=str(FOLDER / f"{file}.png"))


if __name__ == "__main__":
    main()
