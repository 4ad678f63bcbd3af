"""The lab's commands: ``python -m probe.lab run`` and ``python -m probe.lab demo``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from probe.lab.errors import LabError
from probe.lab.functions.host import DEFAULT_PORT, interruptible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of the lab and return its exit code: 0, 1 a read was lost (demo), 2 it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m probe.lab",
        description="A geo-redundant storage account in a box, with the whole function app on it.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    run = commands.add_parser("run", help="the lab and the function app, until Ctrl-C")
    run.add_argument("--for", type=float, dest="seconds", metavar="S", help="end after so many seconds")
    run.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="the app's HTTP port (default %(default)s)"
    )
    run.add_argument("--admin-port", type=int, default=7072, help="the lab's port (default %(default)s)")
    run.add_argument("--lag", type=float, default=2.0, metavar="S", help="replication lag (default 2 s)")
    run.add_argument("--churn", action="store_true", help="three instances, and a new worker for each tick")
    demo = commands.add_parser("demo", help="a scripted outage of about a minute, then a summary")
    demo.add_argument("--record", type=Path, metavar="FILE", help="keep what it shows as an SVG picture")
    told = parser.parse_args(arguments)
    try:
        return _demo(told.record) if told.command == "demo" else _run(told)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _run(told: argparse.Namespace) -> int:
    from probe.lab.run import run  # noqa: PLC0415 - the help text needs none of it

    return interruptible(
        run(
            port=told.port,
            admin_port=told.admin_port,
            lag=told.lag,
            churn=told.churn,
            seconds=told.seconds,
        )
    )


def _demo(record: Path | None) -> int:
    from probe.lab.demo import Demo  # noqa: PLC0415 - as above

    demo = Demo(record)
    code = interruptible(demo.run())
    return code or demo.exit_code


if __name__ == "__main__":
    sys.exit(main())
