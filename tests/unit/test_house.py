"""The rules of ARCHITECTURE.md. Their exceptions may only become fewer: each has its reason."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

import container_backend
from container_backend.runs.plan import Plan
from tests.house import (
    HOMES,
    MOST_ENTRIES_ON_TOP,
    MOST_LINES,
    MOST_LINES_OF_A_FUNCTION,
    MOST_MODULES,
    PACKAGE,
    House,
    entries_on_top,
    modules_in,
    strangers,
)

# Each is to go with the work that its reason names.
UPWARD: set[str] = set()
PAST_DOORS: dict[str, str] = {}
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
STRANGERS = {
    "docker": set(),
    "mlflow": set(),
}  # fmt: skip


@pytest.fixture(scope="module")
def house() -> House:
    return House()


def short(names: object) -> set[str]:
    return {name.removeprefix(f"{PACKAGE}.") for name in names}


def test_few_things_are_on_top(house):
    assert len(entries_on_top(house)) <= MOST_ENTRIES_ON_TOP


def test_no_room_is_crowded(house):
    crowded = {room: len(modules_in(house, room)) for room in house.rooms}
    assert {room for room, count in crowded.items() if count > MOST_MODULES} == set()


def test_modules_are_of_one_idea(house):
    long = short(name for name, module in house.modules.items() if module.lines > MOST_LINES)
    assert long == set(LONG_MODULES)


def test_functions_fit_on_a_screen(house):
    long = {
        name
        for module in house.modules.values()
        for name, lines in module.functions()
        if lines > MOST_LINES_OF_A_FUNCTION
    }
    assert short(long) == set(LONG_FUNCTIONS)


def test_imports_go_down(house):
    assert short(each.importer for each in house.upward()) == UPWARD


def test_modules_do_not_import_each_other(house):
    assert house.cycles() == []


def test_other_rooms_are_entered_by_their_doors(house):
    assert short(each.importer for each in house.past_doors()) == set(PAST_DOORS)


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_in_its_home(house, library):
    assert short(strangers(house, library)) == STRANGERS[library]


def test_a_submission_is_read_while_planning_alone(house):
    """Later steps read a plan, which has no submission and no connection."""
    readers = short(each.importer for each in house.imports if each.name == "Submission")
    assert {name for name in readers if name.startswith("runs.")} == {
        "runs.dry_run", "runs.image_choice", "runs.image_project", "runs.launch", "runs.plan",
        "runs.prepare", "runs.steps.step",
    }  # fmt: skip
    kinds = {str(each.type) for each in fields(Plan)}
    assert not kinds & {"Submission", "Engine"}


def test_doors_say_what_their_rooms_are_for(house):
    for room in house.rooms:
        text = ast.get_docstring(house.modules[room].tree) or ""
        assert 2 <= len(text.splitlines()) <= 7, room


def test_doors_offer_what_others_use_and_nothing_else(house):
    used = {(each.module, each.name) for each in house.imports}
    unused = {
        f"{room}.{name}"
        for room in house.rooms
        for name in house.exports(room)
        if (room, name) not in used
    }
    assert unused == set()


def test_what_a_door_offers_has_no_name_of_a_module(house):
    """`from room import name` would give the module once it is loaded."""
    for room in house.rooms:
        modules = {name.rpartition(".")[2] for name in house.modules if name.startswith(room)}
        assert not modules & set(house.exports(room)), room


def test_the_public_surface_is_what_it_was():
    assert sorted(container_backend.__all__) == [
        "BuildError", "ContainerBackendError", "ContainerError", "EngineError", "EngineUnavailable",
        "ImageUnavailable", "InvalidConfig", "InvalidEnvironment", "InvalidInput",
        "InvalidProject", "NotRepeatable", "NotThere", "Refused", "RunFailed", "RunKilled",
        "TrackingUnreachable", "__version__", "attach", "build", "run",
    ]  # fmt: skip
    assert all(hasattr(container_backend, name) for name in container_backend.__all__)


def test_no_room_has_the_name_of_something_public(house):
    """Once it is imported, `container_backend.NAME` would be the room."""
    on_top = {name.split(".")[1] for name in house.modules if name != PACKAGE}
    assert not on_top & set(container_backend.__all__)


def test_every_room_is_in_the_wheel(house):
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    listed = re.search(r"^packages = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1]
    assert set(re.findall(r'"(.+)"', listed)) == {PACKAGE, f"{PACKAGE}.templates", *house.rooms}
