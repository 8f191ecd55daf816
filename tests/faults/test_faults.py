"""Each fault once: what the run says, that its log is whole, that nothing is left and nothing else touched."""

from __future__ import annotations

import random
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.faults.registry import FAULTS
from tests.faults.trial import Trial, attempt

if TYPE_CHECKING:
    from collections.abc import Iterator

# Several at a time, since most of a fault's time is waiting, and beside nothing else.
pytestmark = pytest.mark.serial
_AT_ONCE = 6
_FIRST_OF_KIND = {described.kind: name for name, described in reversed(FAULTS.items())}.values()
_LONG = "20 runs of one client at once, the client killed"


@pytest.fixture(scope="module")
def trials(request) -> Iterator[dict[str, Future[Trial]]]:
    """Those of the faults that were asked for, on their way."""
    wanted = [
        item.callspec.params["name"]
        for item in request.session.items
        if item.module is request.module
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {name: pool.submit(attempt, name, random.randrange(10**9)) for name in wanted}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=() if name in _FIRST_OF_KIND and name != _LONG else pytest.mark.slow
        )
        for name in FAULTS
    ],
)
def test_a_run_is_not_lost(trials, name):
    trial = trials[name].result()
    assert trial.says
