"""Steps that a program asks for: handed to the process that starts them, and told how they go.

``PUT steps/NAME/project`` brings a tar, ``PUT steps/NAME`` says what is asked for; ``GET steps/NAME`` waits
for what is new; ``POST steps/NAME/cancel``. The program chooses the name, so that each may be repeated.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.machine import human_size, open_private
from container_backend.privileges import MOST_STEPS, MOST_STEPS_OF_OTHERS
from container_backend.runs.ledger import Asked, Granted, Said, StepsFolder
from container_backend.runs.tracking.grants import handed_by
from container_backend.runs.tracking.rules import MODEL, REGISTERED, RUN, Refused, forbidden
from container_backend.runs.tracking.serving.asgi import counting, read_body, send_answer
from container_backend.store import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.runs.ledger import StepFolder
    from container_backend.runs.tracking.serving.asgi import Receive, Send
    from container_backend.runs.tracking.serving.program import Program

PREFIX: Final = "container-backend/steps/"
# A request for what is new is answered after this time, also with nothing.
_WAIT_SECONDS: Final = 20.0
_FIRST_LOOK_SECONDS: Final = 0.005
_LOOK_SECONDS: Final = 0.1
# A process that was killed is there again before.
_GONE_SECONDS: Final = 5.0
_MOST_OUTPUT: Final = 256 * 1024
_MOST_PROJECT: Final = 128 * 1024 * 1024
_MOST_ASKED: Final = 1024 * 1024
# Requests of one program that wait for news at once.
_MOST_WATCHING: Final = 64
_watching: Final[Counter[str]] = Counter()
_ENDED: Final = "the process that starts the steps of this run has ended"


async def serve_steps(
    program: Program,
    method: str,
    path: str,
    query: Mapping[str, list[str]],
    receive: Receive,
    send: Send,
) -> None:
    """Answer a request of a program about one of its steps. Raises Refused.

    Args:
        path: After the prefix.
    """
    if not program.grant.steps:
        raise forbidden("This program starts no steps.")
    folder = StepsFolder(Path(program.grant.steps))
    name, _, what = path.partition("/")
    try:
        step = folder.step(name)
    except ValueError:
        raise _wrong(f"'{name}' is no name of a step.") from None
    if (method, what) == ("GET", ""):
        await send_answer(send, Answer.of(await _watched(program, folder, step, query)))
        return
    async with program.asking():
        if method == "PUT" and not step.path.exists():
            _make(program, folder, step)
        if (method, what) == ("PUT", "project"):
            if step.is_asked:
                raise _wrong("The project of this step is there.")
            await _receive_file(step.project, counting(receive, program.take))
        elif (method, what) == ("PUT", ""):
            asked = _read_asked(await read_body(receive))
            if not step.is_asked:
                step.ask(asked, _granted(program, asked))
            folder.wake()
        elif (method, what) == ("POST", "cancel") and step.is_asked:
            step.cancel()
            folder.wake()
        else:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"There is no '{path}'.")
        await send_answer(send, Answer.of({}))


async def _watched(
    program: Program, folder: StepsFolder, step: StepFolder, query: Mapping[str, list[str]]
) -> dict[str, Any]:
    """As :func:`_news`; raises Refused for too many requests at once."""
    if _watching[program.grant.submission] >= _MOST_WATCHING:
        raise Refused(503, "TEMPORARILY_UNAVAILABLE", "Too many requests wait for steps.")
    _watching[program.grant.submission] += 1
    try:
        return await _news(program, folder, step, query)
    finally:
        _watching[program.grant.submission] -= 1


def _wrong(what: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", what)


def _make(program: Program, folder: StepsFolder, step: StepFolder) -> None:
    most = MOST_STEPS if program.grant.is_own else MOST_STEPS_OF_OTHERS
    if len(folder.steps()) >= most:
        raise forbidden(f"This program starts at most {most} steps.")
    try:
        step.make()
    except FileNotFoundError:
        raise forbidden(_ENDED) from None


def _read_asked(body: bytes) -> Asked:
    if len(body) > _MOST_ASKED:
        raise _wrong(f"A request for a step has at most {human_size(_MOST_ASKED)}.")
    try:
        return Asked.model_validate(json.loads(body))
    except ValueError as error:
        raise _wrong(f"This is no request for a step: {error}") from error


def _granted(program: Program, asked: Asked) -> Granted:
    """What the step may have of what its driver has."""
    own, parent, run_id = program.grant.run_id, asked.parent, asked.run_id
    return Granted(
        parent=parent if parent and program.sees(RUN, parent) else own,
        handed=[each for each in asked.parameters.values() if _may_hand(program, each)],
        run_id=run_id if run_id and program.sees(RUN, run_id, to_change=True) else "",
    )


def _may_hand(program: Program, value: str) -> bool:
    """True for the value of a parameter that hands on only what the program may read."""
    kinds = RUN, MODEL, REGISTERED
    return all(any(program.sees(kind, each) for kind in kinds) for each in handed_by([value]))


async def _receive_file(file: Path, receive: Receive) -> None:
    whole, left, more = file.with_name(f"{file.name}.new"), _MOST_PROJECT, True
    try:
        with open_private(whole, "wb") as opened:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "BAD_REQUEST", "The connection broke.")
                data = message.get("body", b"")
                left -= len(data)
                if left < 0:
                    raise _wrong(f"A project of a step has at most {human_size(_MOST_PROJECT)}.")
                await asyncio.to_thread(opened.write, data)
                more = message.get("more_body", False)
        whole.replace(file)
    finally:
        whole.unlink(missing_ok=True)


async def _news(
    program: Program, folder: StepsFolder, step: StepFolder, query: Mapping[str, list[str]]
) -> dict[str, Any]:
    """What came since the last request; waits for something."""
    if not step.is_asked:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "There is no such step.")
    try:
        offset = max(0, int(query.get("offset", ["0"])[0]))
    except ValueError:
        raise _wrong("The offset is a number.") from None
    is_known = bool(query.get("known", [""])[0])
    begun, pause = time.monotonic(), _FIRST_LOOK_SECONDS
    while True:
        said = step.said()  # before the output, which is complete then
        output = _read(step.output, offset)
        if output or said.has_ended or (said.run_id and not is_known):
            break
        waited = time.monotonic() - begun
        if waited > _GONE_SECONDS and not folder.are_served():
            said = Said(said.run_id, "FAILED", _ENDED, has_ended=True)
            break
        if waited > _WAIT_SECONDS:
            break
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LOOK_SECONDS)
    if said.run_id:
        program.adopt(said.run_id)
    # What is left of the output comes before the end.
    shown = said if len(output) < _MOST_OUTPUT else Said(run_id=said.run_id)
    return {
        **vars(shown),
        "output": base64.b64encode(output).decode("ascii"),
        "offset": offset + len(output),
    }


def _read(file: Path, offset: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            return opened.read(_MOST_OUTPUT)
    except FileNotFoundError:
        return b""
