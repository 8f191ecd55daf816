"""What a program has asked for ends with its attempt, with its run, and with its connection."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid

import pytest

from container_backend.runs.tracking.grants import Grant
from container_backend.runs.tracking.grants.grant import Grants
from container_backend.runs.tracking.rules import Refused, route_of
from container_backend.runs.tracking.serving.program import Program
from container_backend.runs.tracking.serving.roots import Roots
from container_backend.runs.tracking.serving.served import Served
from container_backend.store import Answer, Request
from tests.support.waiting import wait_until

PATHS = {
    "a write": ("POST", "/api/2.0/mlflow/runs/log-metric"),
    "a read": ("GET", "/api/2.0/mlflow/runs/get"),
}


class Store:
    """A database that another process holds, until it is free."""

    def __init__(self) -> None:
        self.calls = 0
        self.written = 0
        self.is_free = threading.Event()

    def call(self, request: Request, root: str = "") -> Answer:
        del request, root
        self.calls += 1
        if not self.is_free.is_set():
            return Answer(503, b"database is locked")
        self.written += 1
        return Answer(200, b"{}")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def program(store, tmp_path) -> Program:
    (tmp_path / "note").touch()
    grant = Grant(uuid.uuid4().hex, str(tmp_path / "note"), "r1", "7", is_own=True)
    grants = Grants(tmp_path / "grants")
    grants.give(grant)
    served = Served(store)
    return Program(grant, grants, served, Roots(served, f"sqlite:///{tmp_path}/m.db"))


async def ask(program: Program, kind: str, is_waited_for=lambda: True) -> Answer:
    method, path = PATHS[kind]
    route, parts = route_of(method, path)
    body = (
        json.dumps({"run_id": "r1", "key": "m", "value": 1}).encode() if method == "POST" else b""
    )
    request = Request(method, path, "run_id=r1", body, {"content-type": "application/json"})
    async with program.asking():
        return await asyncio.to_thread(program.answer, route, parts, request, is_waited_for)


async def waiting(store: Store, question: asyncio.Task) -> None:
    """Until a question is waiting for the store."""
    await asyncio.to_thread(wait_until, lambda: store.calls or question.done())


@pytest.mark.parametrize("kind", PATHS)
def test_what_an_attempt_still_waits_for_is_dropped_before_the_next(program, store, kind):
    async def attempts() -> None:
        question = asyncio.create_task(ask(program, kind))
        await waiting(store, question)
        assert not program.fence()
        assert (await question).has_failed
        assert program.fence()
        store.is_free.set()
        assert (await ask(program, kind)).is_ok

    asyncio.run(attempts())
    assert store.written == 1


@pytest.mark.parametrize("kind", PATHS)
def test_the_end_of_a_run_does_not_wait_for_the_store(program, store, kind):
    async def run() -> None:
        question = asyncio.create_task(ask(program, kind))
        await waiting(store, question)
        await program.end()
        assert (await question).has_failed
        with pytest.raises(Refused, match="has ended"):
            await ask(program, kind)

    asyncio.run(run())
    assert store.written == 0


@pytest.mark.parametrize("kind", PATHS)
def test_a_request_whose_client_is_gone_is_not_written(program, store, kind):
    store.is_free.set()
    with pytest.raises(Refused):
        asyncio.run(ask(program, kind, is_waited_for=lambda: False))
    assert store.calls == 0


def test_a_client_that_goes_away_meanwhile_has_written_nothing(program, store):
    there = threading.Event()
    there.set()

    async def run() -> None:
        question = asyncio.create_task(ask(program, "a write", there.is_set))
        await waiting(store, question)
        there.clear()
        assert (await question).has_failed
        store.is_free.set()
        assert (await ask(program, "a write")).is_ok  # as it sends the request again

    asyncio.run(run())
    assert store.written == 1
