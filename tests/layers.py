"""The contract of the layers, for import-linter: every module is in one room, and imports what its room may.

A room names what it may import, not what it may not: so a module that is new, and a package that nobody has
thought of, are refused until somebody decides. Only direct imports are looked at, which is enough: what is
imported is in a room of its own, and keeps to that.
"""

import sys
from dataclasses import dataclass

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ANYTHING = "anything"
STANDARD_LIBRARY = "the standard library"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Modules, and packages with all that is inside, that may import the same.

    ``rooms`` are the other rooms that they may import, ``outside`` the packages that are not the project's.
    """

    name: str
    holds: tuple[str, ...]
    rooms: tuple[str, ...]
    outside: tuple[str, ...]

    def allows(self, package: str) -> bool:
        standard = STANDARD_LIBRARY in self.outside and package in sys.stdlib_module_names
        return standard or package in self.outside or ANYTHING in self.outside


class RoomsField(fields.Field):
    """Parses the tables ``[[tool.importlinter.contracts.rooms]]``."""

    def parse(self, raw_data: list[dict[str, object]]) -> tuple[Room, ...]:
        return tuple(
            Room(**{key: value if key == "name" else tuple(value) for key, value in each.items()})
            for each in raw_data
        )


class Rooms(Contract):
    """Every module is in the room that names it most exactly, and imports what that room may."""

    type_name = "rooms"
    rooms = RoomsField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - the base's
        (root,) = self.session_options["root_packages"]
        modules = {each for each in graph.modules if _is_in(each, root) and each != root}
        held = {each for room in self.rooms for each in room.holds}
        problems = [f"no module is called {each}, which a room holds" for each in held - modules]
        for module in modules:
            problems += self._problems(graph, module, root)
        return ContractCheck(kept=not problems, metadata={"problems": sorted(problems)})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for each in check.metadata["problems"]:
            output.print_error(each)
        output.new_line()

    def _problems(self, graph: ImportGraph, module: str, root: str) -> list[str]:
        room = self._room(module)
        if room is None:
            return [f"{module} is in no room: name it in the `holds` of one, in pyproject.toml"]
        found = graph.find_modules_directly_imported_by(module) - {root}
        return [
            f"{module} imports {each}, which its room, {room.name!r}, may not"
            for each in found
            if not (self._may_enter(room, each) if _is_in(each, root) else room.allows(each))
        ]

    def _may_enter(self, room: Room, module: str) -> bool:
        other = self._room(module)
        return other is None or other is room or other.name in room.rooms

    def _room(self, module: str) -> Room | None:
        found = [(len(each), room) for room in self.rooms for each in room.holds if _is_in(module, each)]
        return max(found, key=lambda each: each[0])[1] if found else None


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
