"""The command line: ``python -m probe check | once | watch | status | doctor``.

Rules kept here: with ``--json`` stdout is JSON alone and everything else goes to stderr; a problem is one
clear line with its remedy, never a traceback, never a secret. Exit codes: 0 every read was served and no
canary is corrupt; 1 a target is unavailable or corrupt; 2 configuration; 3 the probe itself failed or was
inconclusive; 130 interrupted.
"""

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe import __version__, compose, logs, settings
from probe.core.errors import ConfigurationError, ProbeError, StateError
from probe.core.redaction import without_secrets
from probe.core.target import Location

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from probe.compose import App
    from probe.core.report import TickReport

LOCAL_SETTINGS = Path("local.settings.json")
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    logs.clean()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("probe.ticks").setLevel(logging.CRITICAL)  # what a tick found goes to stdout
    if options.verbose:
        logging.getLogger("probe").setLevel(logging.INFO)
    try:
        environment = _environment(options)
        code: int = options.command(environment, options)
    except ConfigurationError as error:
        _tell("The settings cannot be used:", *(f"  {line}" for line in error.problems))
        if options.command is _status and not options.url:
            _tell(_ASK_THE_APP)
        return 2
    except ProbeError as error:
        _tell(f"The probe failed: {error}")
        return 3
    except KeyboardInterrupt:
        _tell("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read it has gone: the interpreter's last flush must not meet the broken pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except Exception as error:
        if options.verbose:
            logging.getLogger("probe").exception("unexpected")
        _tell(f"The probe failed unexpectedly: {error!r}. Run it again with --verbose for the traceback.")
        return 3
    return code


_SCRIPT = "geo-storage-probe"
_PROGRAM = _SCRIPT if Path(sys.argv[0]).stem == _SCRIPT else "python -m probe"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Probes geo-redundant Azure Storage: can it be read, from where, how much would be lost.",
        epilog="Settings come from the environment, and beneath it from local.settings.json where that is. "
        "Exit codes: 0 every read was served and no canary is corrupt, 1 a target is unavailable or corrupt, "
        "2 configuration, 3 the probe failed or was inconclusive, 130 interrupted. Of doctor: 0 all works, "
        "1 a target cannot do what a tick needs, 2 configuration, 3 the probe's own means fail.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    _common(parser, first=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = _command(
        commands, "check", "validate the settings and print those in effect", "check --settings my.json"
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(command=_check)

    once = _command(commands, "once", "run one tick and print what it found", "once --debug")
    once.add_argument("--json", action="store_true", help="print one JSON document (schema 2)")
    once.add_argument("--debug", action="store_true", help="tell each attempt and the reasoning, to stderr")
    once.set_defaults(command=_once)

    watch = _command(
        commands,
        "watch",
        "write the canary, wait for the secondary, then read and read",
        "watch --reads 100 --interval 0.5 --cleanup",
    )
    watch.add_argument("--target", metavar="NAME", help="which target; needed when there are several")
    watch.add_argument("--reads", type=_count, default=999, metavar="N", help="how many reads (default 999)")
    watch.add_argument(
        "--interval", type=_seconds, default=0.0, metavar="S", help="seconds between reads (default 0)"
    )
    watch.add_argument(
        "--wait",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="seconds to wait for the secondary (default 60)",
    )
    watch.add_argument("--json", action="store_true", help="print a JSON line per read, and a summary")
    watch.add_argument("--cleanup", action="store_true", help="delete at the end what it created")
    watch.set_defaults(command=_watch)

    status = _command(
        commands,
        "status",
        "print what the saved state, or a deployed app (--url), says, those that need somebody first",
        "status --url https://APP.azurewebsites.net",
    )
    status.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help="ask this app: https://APP.azurewebsites.net; repeatable",
    )
    status.add_argument(
        "--key", help="the app's function key; better kept in PROBE_STATUS_KEY, where no other user sees it"
    )
    status.add_argument("--target", metavar="NAME", help="only this one, with its details")
    status.add_argument(
        "--all-vantages", action="store_true", help="the saved state of every vantage, not of this one alone"
    )
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(command=_status)

    doctor = _command(
        commands, "doctor", "try each thing that a tick needs, and say what mends what fails", "doctor --json"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON document (schema 1)")
    doctor.set_defaults(command=_doctor)
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, example: str
) -> argparse.ArgumentParser:
    """Return the parser of a command, which takes the common options too, so that they may come after it."""
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"For example: {_PROGRAM} {example}",
    )
    _common(parser, first=False)
    return parser


def _common(parser: argparse.ArgumentParser, *, first: bool) -> None:
    """Add the options of every command; after the command they must not undo what stood before it."""
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        default=None if first else argparse.SUPPRESS,
        help="a local.settings.json; default: the one here, if any",
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        default=False if first else argparse.SUPPRESS,
        help="log more to stderr",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """Return the environment, laid over the local settings file's values; who asks an app needs no file."""
    path: Path | None = options.settings
    if getattr(options, "url", None):
        return dict(os.environ)
    found = path or LOCAL_SETTINGS
    if path is None and not found.exists():
        return dict(os.environ)
    return {**settings.local(found), **os.environ}


def _tell(*lines: str) -> None:
    for line in lines:
        print(without_secrets(line), file=sys.stderr, flush=True)


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


_ROOM = 80
"""Columns that the table of settings needs."""
_VALID = "The settings are valid. Nothing was contacted: python -m probe doctor tries what they name."


def _check(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    found = compose.load(environment)
    rows = settings.effective(environment)
    targets = [
        {
            "name": each.name,
            "primary": each.blob_url(Location.PRIMARY),
            "secondary": each.blob_url(Location.SECONDARY) if each.secondary else None,
        }
        for each in found.targets
    ]
    if options.json:
        values = {name: {"value": value, "source": source} for name, value, source in rows}
        _say(json.dumps({"settings": values, "targets": targets, "warnings": list(found.warnings)}, indent=1))
        return 0
    from probe import terminal  # noqa: PLC0415 - JSON needs nothing of it

    shown = terminal.table("setting", "from", "value")
    for name, value, source in rows:
        shown.add_row(name, source, value)
    narrow = terminal.stacked(*(f"{name}={value} ({source})" for name, value, source in rows))
    terminal.show([terminal.Fitting(shown, narrow, _ROOM), ""])
    for each in targets:
        places = (f"{where:<9}  {each[where] or 'none'}" for where in Location)
        terminal.show([f"target {each['name']}", *map(terminal.indented, places)])
    rhythm = f"Ticks are {found.interval.total_seconds():g} s apart or more, seen from {found.vantage}."
    terminal.show(["", rhythm, *(f"Warning: {line}" for line in found.warnings), _VALID])
    return 0


def _once(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    from probe import explain, overview, terminal  # noqa: PLC0415 - settings are told before anything heavy loads
    from probe.core.report import document, exit_code  # noqa: PLC0415

    async def run(app: "App") -> "tuple[TickReport, datetime | None]":
        limit = app.settings.tick_budget + app.settings.flush + timedelta(seconds=6)
        async with _progress(f"Probing {len(app.settings.targets)} target(s)", limit):
            report = await _all_shards(app)
        return report, min(filter(None, map(app.unsaved_since, range(len(app.shards)))), default=None)

    report, unsaved = _with_app(environment, run, debug=options.debug)
    if options.debug:
        _tell(*explain.lines(report))
    if options.json:
        _say(json.dumps(document(report), indent=1))
    else:
        terminal.show([*overview.once(report, unsaved), "", *explain.reasons(report)])
    return exit_code(report)


async def _all_shards(app: "App") -> "TickReport":
    """Run one tick of every shard now, and return them as one report."""
    from probe.core.report import Result  # noqa: PLC0415
    from probe.tick import Firing  # noqa: PLC0415

    now = app.world.clock()
    reports = [await app.fire(Firing(scheduled_at=now, shard=each)) for each in range(len(app.shards))]
    worst = next((each for each in reports if each.result is not Result.COMPLETED), reports[0])
    troubled = next((each for each in reports if each.state_store != "ok"), reports[0])
    return replace(
        worst,
        started_at=reports[0].started_at,
        duration=sum((each.duration for each in reports), timedelta(0)),
        shard=0,
        targets=tuple(target for each in reports for target in each.targets),
        state_store=troubled.state_store,
        state_problems=troubled.state_problems,
    )


def _watch(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    from probe import watch  # noqa: PLC0415

    async def run(app: "App") -> int:
        plan = watch.Plan(
            target=_chosen(app, options.target),
            reads=options.reads,
            interval=options.interval,
            wait=options.wait,
            cleanup=options.cleanup,
        )
        show = watch.JsonShow() if options.json else watch.TextShow()
        return await watch.run(app, plan, show)

    # A watch keeps no state: it is its own client with its own breaker, beside the deployed probe's.
    writer = f"watch-{socket.gethostname()}-{os.getpid()}"
    return _with_app({**environment, "PROBE_STATE": "memory"}, run, writer=writer)


def _chosen(app: "App", name: str | None) -> Any:  # noqa: ANN401 - a Target
    names = [each.name for each in app.settings.targets]
    if name is None and len(names) == 1:
        return app.settings.targets[0]
    return app.settings.targets[names.index(_named(name, names))]


def _named(name: str | None, names: Sequence[str]) -> str:
    if name is None or name not in names:
        problem = f"holds {name!r}" if name else "is not given, and there are several targets"
        raise ConfigurationError((f"--target: {problem}. Name one of {', '.join(names)}.",))
    return name


def _status(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    from probe import overview, terminal  # noqa: PLC0415 - settings are told before anything heavy loads

    bodies = _asked(environment, options) if options.url else _saved(environment, options)
    try:
        found = {each["name"] for body in bodies for each in body["targets"]}
        names = sorted(found, key=str.casefold)  # what is no text is no name
        told = [overview.status(each, target=options.target) for each in bodies]
        codes = [overview.exit_code(each, target=options.target) for each in bodies]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise ProbeError("what was answered is no status of this probe. Is it the right app?") from None
    if options.target is not None:
        _named(options.target, names)
    if options.json:
        _say(json.dumps(bodies[0] if len(bodies) == 1 else bodies, indent=1))
    else:
        terminal.show([part for each in told for part in ("", *each)][1:])
    return next((each for each in (1, 3) if each in codes), 0)


def _asked(environment: Mapping[str, str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what deployed apps say of themselves."""
    from probe.adapters import deployed  # noqa: PLC0415 - as above

    if options.all_vantages:
        problem = "--all-vantages: an app knows its own vantage only. Give --url once for each app."
        raise ConfigurationError((problem,))
    key = (options.key or environment.get("PROBE_STATUS_KEY", "")).strip() or None
    token = environment.get("PROBE_STATUS_TOKEN", "").strip() or None
    places = [deployed.address(each, key, token) for each in options.url]

    async def body() -> list[dict[str, Any]]:
        async with _progress(f"Asking {len(places)} app(s)", timedelta(seconds=deployed.BOUND)):
            return await asyncio.gather(*map(deployed.status, places))

    return asyncio.run(body())


def _saved(environment: Mapping[str, str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what the saved state says, of this vantage or of each."""

    async def run(app: "App") -> list[dict[str, Any]]:
        if options.all_vantages:
            return [await app.status(each) for each in await app.vantages() or [app.settings.vantage]]
        with suppress(StateError):  # the status tells of it
            _not_elsewhere(app, await app.vantages())
        return [await app.status()]

    return _with_app(environment, run)


_ASK_THE_APP = (
    "The status of saved state needs the app's own settings. Without them ask the app itself:\n"
    "  python -m probe status --url https://APP.azurewebsites.net"
)


def _not_elsewhere(app: "App", vantages: Sequence[str]) -> None:
    """Tell where state is, when there is none of this vantage: it is named after the machine it runs on."""
    own = app.settings.vantage
    if vantages and own not in vantages:
        problem = (
            f"PROBE_VANTAGE: is {own!r} here, which has saved no state; {', '.join(vantages)} has. "
            "Set it to one of these, or give --all-vantages."
        )
        raise ConfigurationError((problem,))


def _doctor(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    from probe import doctor, terminal  # noqa: PLC0415 - the other commands need nothing of them

    doing = terminal.Doing(sys.stderr)

    def show(row: doctor.Row) -> None:
        doing.clear()
        if not options.json:
            terminal.show(doctor.lines(row, width))

    width = doctor.width(environment)
    try:
        rows = doctor.run(environment, show, lambda what: doing.tell(f"trying {what}"))
    finally:
        doing.clear()
    if options.json:
        _say(json.dumps(doctor.document(rows), indent=1))
    else:
        terminal.show(["", doctor.summary(rows)])
    return doctor.exit_code(rows)


def _with_app[T](
    environment: Mapping[str, str],
    run: "Callable[[App], Awaitable[T]]",
    *,
    debug: bool = False,
    writer: str | None = None,
) -> T:
    """Build the app, run on it, and close it whatever happens."""

    async def body() -> T:
        app = compose.build(environment, debug=debug, writer=writer)
        try:
            return await run(app)
        finally:
            await app.aclose()

    return asyncio.run(body())


@asynccontextmanager
async def _progress(what: str, limit: timedelta) -> "AsyncIterator[None]":
    """Show on a terminal that something takes long, and how long it may take at most."""
    from probe import terminal  # noqa: PLC0415 - as above

    doing = terminal.Doing(sys.stderr)
    doing.tell(f"{what}, {limit.total_seconds():.0f} s at most")
    try:
        yield
    finally:
        doing.clear()
