"""Which tests of a session run where: one home for what markers and options mean.

Tests run side by side unless they are marked ``serial``: those need the machine alone, and run
after the others, by themselves (``scripts/test``). ``slow`` tests run in ``make test-all`` only,
and a part of them, another one each day, in CI.
"""

from __future__ import annotations

import gc
import hashlib
import re
from pathlib import Path

import pytest

# Its tables name the tests of what MLflow promises of its projects: they are `conformance`.
CONFORMANCE = Path(__file__).parents[1] / "docs" / "coming-from-mlflow-run.md"

# Tests that use one of these fixtures, which cost much or have a name of their own on the engine,
# run in one worker.
_SHARED = (
    "archived",
    "conda_image",
    "docker_env_image",
    "private_base",
    "tracking_server",
    "wheel",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part",
        metavar="N/OF",
        type=_part,
        help="of the selected tests, only those of a part: N counts from 0",
    )


def _part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    return int(number), int(count)


def pytest_collection_finish() -> None:
    gc.freeze()  # what is imported and collected never becomes garbage


def conformance_tests() -> set[str]:
    """Names of tests, with or without the parameters of one case."""
    return set(re.findall(r"`(test_[^`]+)`", CONFORMANCE.read_text(encoding="utf-8")))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    promised = conformance_tests()
    for item in items:
        if not promised.isdisjoint({item.name, getattr(item, "originalname", item.name)}):
            item.add_marker(pytest.mark.conformance)
        for name in _SHARED:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(name))


class _Groups:
    """Sees that groups have an effect: a version of pytest took it away in silence."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError(f"pytest-xdist does not group {item.nodeid}")


class _Part:
    """Leaves out what is of other parts, when markers have selected."""

    def __init__(self, number: int, count: int) -> None:
        self._number, self._count = number, count

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        # In an order that puts neighbours, which take alike, into different parts.
        shuffled = sorted(items, key=lambda item: hashlib.sha256(item.name.encode()).digest())
        chosen = set(shuffled[self._number :: self._count])
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = [item for item in items if item in chosen]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("loadgroup", default=False):
        config.pluginmanager.register(_Groups())
    if (part := config.getoption("--part")) is not None:
        config.pluginmanager.register(_Part(*part))
