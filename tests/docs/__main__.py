"""Writes everything anew that is generated from the code: ``make docs``."""

from tests.docs.pages import FILES, PAGES, ROOT, renewed


def write(name: str, text: str) -> None:
    path = ROOT / name
    if path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"{name} was renewed")  # noqa: T201 - a command's answer


for name, make in FILES.items():
    write(name, make())
for page in PAGES:
    write(page, renewed(page, (ROOT / page).read_text(encoding="utf-8")))
