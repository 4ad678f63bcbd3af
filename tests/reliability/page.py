"""The page ``tests/RELIABILITY.md``, made whole of the saved results and the claims."""

from tests.reliability import claims, results

SECTIONS = ("side_by_side", "matrix", "unsteady", "writers", "soak_worker", "soak_simulated", "soak_kills")
"""The results in the order of the page, by file name. A new result needs its name here, and nothing else."""

HEAD = """# Reliability

What the probe's word is worth on the worst day: measured, each table with its command. `make docs`
renews this page from the results in [reliability](reliability); a command below renews a result.
"""
CLAIMS = """## Each promise, and the test that shows it

A test is changed only together with its promise; that each is there is a test of its own.
"""


def text() -> str:
    """Return the page."""
    parts = [results.load(each).markdown() for each in SECTIONS]
    return "\n\n".join([HEAD.strip(), *parts, CLAIMS.strip(), claims.markdown()]) + "\n"
