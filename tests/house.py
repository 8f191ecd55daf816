"""The structure of `container_backend`, measured from its source: `python -m tests.house` prints it.

The rules are in ARCHITECTURE.md; `tests/unit/test_house.py` holds them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = "container_backend"
ROOT: Final = Path(__file__).parents[1]

# From top to bottom; a module imports only from floors below its own. Rooms on one floor do not
# know each other.
FLOORS: Final = (
    ("__main__",),
    ("cli",),
    ("api",),
    ("rerun", "share"),
    ("runs",),
    ("store",),
    ("container",),
    ("image",),
    ("environment",),
    ("project",),
    ("engine",),
    ("config",),
    ("machine",),
    ("privileges",),
    ("errors",),
    ("masking", "labels_and_tags"),
)
# The same inside of a room; what is not named is above all that is named.
INNER_FLOORS: Final = {
    "runs": (("supervise",), ("ending",), ("output",), ("tracking",), ("ledger",)),
    "container": (("logins",),),
    "image": (("progress",), ("buildkit",)),
    "store": (("client",),),
    "environment": (("known",),),
    "share": (("runner",),),
}
# Modules that are copied into project images word for word: they know modules, not doors.
COPIED: Final = f"{PACKAGE}.share.runner"
# Where a library may be imported.
HOMES: Final = {
    "docker": ("engine",),
    "mlflow": ("store", "api.backend"),
}
MOST_ENTRIES_ON_TOP: Final = 20
MOST_MODULES: Final = 14
MOST_LINES: Final = 320
MOST_LINES_OF_A_FUNCTION: Final = 60


@dataclass(frozen=True)
class Import:
    """One name that a module imports from another module of the package."""

    importer: str
    module: str
    name: str
    line: int


@dataclass(frozen=True)
class Module:
    """A module of the package, parsed."""

    name: str
    path: Path
    tree: ast.Module = field(repr=False)
    lines: int = 0

    @property
    def room(self) -> str:
        """The innermost room that the module is in."""
        return self.name if self.is_door else self.name.rpartition(".")[0]

    @property
    def is_door(self) -> bool:
        return self.path.name == "__init__.py"

    def functions(self) -> Iterator[tuple[str, int]]:
        """Name and lines of each function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{self.name}.{node.name}", node.end_lineno - node.lineno + 1

    def libraries(self) -> set[str]:
        """What it imports from elsewhere, also in functions and for types."""
        found = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
        return found - {PACKAGE}


class House:
    """All modules of the package."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.modules = {}
        for path in sorted((root / PACKAGE).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            self.modules[name] = Module(name, path, ast.parse(text), text.count("\n"))
        self.rooms = {name for name, module in self.modules.items() if module.is_door} - {PACKAGE}

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of the package from itself, also in functions and for types."""
        found = []
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                    assert node.module is not None
                    for alias in node.names:
                        whole = f"{node.module}.{alias.name}"
                        source = whole if whole in self.modules else node.module
                        found.append(Import(module.name, source, alias.name, node.lineno))
        return found

    def exports(self, room: str) -> dict[str, str]:
        """What the door of a room offers: name → module."""
        stub = self.modules[room].path.with_suffix(".pyi")
        found = {}
        if stub.exists():
            for node in ast.parse(stub.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ImportFrom):
                    found |= {alias.name: f"{room}.{node.module}" for alias in node.names}
        return found

    def source_of(self, imported: Import) -> str:
        """The module that an import comes from, behind however many doors."""
        module = imported.module
        while module in self.rooms and imported.name in (offered := self.exports(module)):
            module = offered[imported.name]
        return module

    def is_inside(self, module: str, room: str) -> bool:
        return module == room or module.startswith(f"{room}.")

    def upward(self) -> list[Import]:
        """Imports that do not go down."""
        return [
            each
            for each in self.imports
            if each.importer != PACKAGE and not _goes_down(each.importer, self.source_of(each))
        ]

    def past_doors(self) -> list[Import]:
        """Imports from another room that do not go by its door."""
        found = []
        for each in self.imports:
            if self.is_inside(each.importer, COPIED) or self.is_inside(each.module, COPIED):
                continue
            room = each.module if each.module in self.rooms else each.module.rpartition(".")[0]
            while room != PACKAGE:
                if not self.is_inside(each.importer, room):
                    outer = room.rpartition(".")[0]
                    is_outermost = outer == PACKAGE or self.is_inside(each.importer, outer)
                    if not (is_outermost and each.module == room):
                        found.append(each)
                        break
                room = room.rpartition(".")[0]
        return found

    def cycles(self) -> list[set[str]]:
        """Groups of modules that import each other."""
        graph = defaultdict(set)
        for each in self.imports:
            if (source := self.source_of(each)) != each.importer:
                graph[each.importer].add(source)
        reached = {name: _reachable(graph, name) for name in graph}
        groups = []
        for name in sorted(graph):
            group = {other for other in reached[name] if name in reached.get(other, ())}
            if group and group not in groups:
                groups.append(group)
        return groups


def _goes_down(importer: str, source: str) -> bool:
    above, below = importer.split(".")[1:], source.split(".")[1:]
    if not below:
        return True
    if above[0] != below[0]:
        return _floor(FLOORS, above[0]) < _floor(FLOORS, below[0])
    floors = INNER_FLOORS.get(above[0])
    if floors is None or above[1:2] == below[1:2]:
        return True
    inner = {name for floor in floors for name in floor}
    if above[1:] and above[1] in inner:
        return (
            bool(below[1:])
            and below[1] in inner
            and (_floor(floors, above[1]) < _floor(floors, below[1]))
        )
    return True


def _floor(floors: tuple[tuple[str, ...], ...], name: str) -> int:
    for number, floor in enumerate(floors):
        if name in floor:
            return number
    raise AssertionError(f"'{name}' has no floor: add it to FLOORS in {Path(__file__).name}")


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph.get(start, ()))
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph.get(name, ())
    return seen


def entries_on_top(house: House) -> list[str]:
    folder = house.root / PACKAGE
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


def modules_in(house: House, room: str) -> list[str]:
    return [
        name
        for name, module in house.modules.items()
        if not module.is_door and name.rpartition(".")[0] == room
    ]


def strangers(house: House, library: str) -> list[str]:
    """Modules that import a library outside of its home."""
    homes = tuple(f"{PACKAGE}.{home}" for home in HOMES[library])
    return [
        name
        for name, module in house.modules.items()
        if library in module.libraries() and not name.startswith(homes)
    ]


def statements(house: House) -> int:
    return sum(
        isinstance(node, ast.stmt) for module in house.modules.values()
        for node in ast.walk(module.tree)
    )  # fmt: skip


def report() -> str:
    house = House()
    functions = [each for module in house.modules.values() for each in module.functions()]
    longest = max(functions, key=lambda each: each[1])
    widest = max(house.modules.values(), key=lambda module: module.lines)
    fullest = max(house.rooms, key=lambda room: len(modules_in(house, room)))
    rows = [
        ("entries on top", len(entries_on_top(house)), ""),
        ("rooms", len(house.rooms), ""),
        ("modules", len(house.modules) - len(house.rooms), f"and {len(house.rooms)} doors"),
        ("modules in the fullest room", len(modules_in(house, fullest)), fullest),
        ("lines", sum(module.lines for module in house.modules.values()), ""),
        ("statements", statements(house), ""),
        ("lines of the longest module", widest.lines, widest.name),
        ("lines of the longest function", longest[1], longest[0]),
        ("cycles", len(house.cycles()), ""),
        ("imports upward", len(house.upward()), ""),
        ("imports past a door", len(house.past_doors()), ""),
        *(
            (f"modules with {name} outside its home", len(strangers(house, name)), "")
            for name in HOMES
        ),
    ]
    return "\n".join(f"{what:<40} {count:>6}  {where}".rstrip() for what, count, where in rows)


if __name__ == "__main__":
    print(report())  # noqa: T201 what the program is for
