"""A fault, made once, on a stage of its own; and the look at what it left."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend.container.status_and_reason import TERMINAL
from container_backend.engine import connect, find_host
from tests.faults import faults, tracking  # noqa: F401 they put themselves into FAULTS
from tests.faults.registry import FAULTS
from tests.faults.stage import Bystanders, Stage
from tests.support.engines import OwnEngine
from tests.support.servers import TrackingServer
from tests.support.worker import BASE, make_base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.registry import Described


_making = threading.Lock()


@dataclass(frozen=True)
class Trial:
    """What came out.

    Attributes:
        fault: Its name.
        seed: Of the moment at which it happened.
        says: What the run says; of a trial that failed, what went wrong.
        seconds: From the end of the run, or what held it up, to its status in the store.
        took: Seconds that the trial took.
        failed: Whether something was not as it must be.
    """

    fault: str
    seed: int
    says: str
    seconds: float
    took: float
    failed: bool = False


def attempt(name: str, seed: int) -> Trial:
    """Make a fault, and see that all is as it must be.

    Args:
        name: One of ``FAULTS``.
        seed: Of the moment at which it happens.

    Raises:
        AssertionError: It is not.
    """
    described = FAULTS[name]
    began = time.monotonic()
    with _stage(described) as stage:
        with Bystanders(stage):
            expected = described.make(stage, random.Random(seed))
            seconds = stage.check(expected, described.runs)
            described.check(stage)
        says = "there is no run"
        if expected.status:
            tags = stage.runs()[0].data.tags
            reason = tags.get("container_backend.reason", "")
            says = f"{expected.status}: {reason}" if reason else expected.status
    assert expected.status in {"", *TERMINAL}
    return Trial(name, seed, says, round(seconds, 2), round(time.monotonic() - began, 1))


@contextlib.contextmanager
def _stage(described: Described) -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="fault "))
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        own = None
        host = find_host().url
        with _making, contextlib.closing(connect()) as machine:
            make_base(machine)
        if described.engine is not None:
            own = cleanup.enter_context(OwnEngine(**described.engine))
            with contextlib.closing(connect()) as machine:
                own.take(BASE, machine)
            host = own.host
        stage = Stage(folder, host, own)
        cleanup.callback(stage.end)
        if described.server:
            stage.server = cleanup.enter_context(TrackingServer(folder, stage.tracking_uri))
            stage.use_store(stage.server.address)
        yield stage
