"""Steps that a program asks for: handed to the process that starts them, and told how they go.

``PUT steps/NAME/project`` brings a tar, ``PUT steps/NAME`` says what is asked for; ``GET steps/NAME`` waits
for what is new; ``POST steps/NAME/cancel``. The program chooses the name, so that each may be repeated.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any, Final

from container_backend.machine import human_size, open_private
from container_backend.privileges import MOST_STEPS
from container_backend.runs.ledger import Said, StepsFolder
from container_backend.runs.tracking.rules import RUN, Refused, forbidden
from container_backend.runs.tracking.serving.asgi import read_body, send_answer
from container_backend.store import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container_backend.runs.ledger import StepFolder
    from container_backend.runs.tracking.serving.asgi import Receive, Send
    from container_backend.runs.tracking.serving.program import Program

PREFIX: Final = "container-backend/steps/"
# A request for what is new is answered after this time, also with nothing.
_WAIT_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.01
_MOST_OUTPUT: Final = 256 * 1024
_MOST_PROJECT: Final = 128 * 1024 * 1024
_NONE: Final = "This program starts no steps."


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
        raise forbidden(_NONE)
    folder = StepsFolder(program.grant.steps_folder)
    name, _, what = path.partition("/")
    try:
        step = folder.step(name)
    except ValueError:
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"'{name}' is no name of a step.") from None
    if method == "PUT" and not step.path.exists():
        if len(folder.steps()) >= MOST_STEPS:
            raise forbidden(f"A program starts at most {MOST_STEPS} steps.")
        folder.make(step)
    if (method, what) == ("PUT", "project"):
        await _receive_file(step.project, receive)
        await send_answer(send, Answer.of({}))
    elif (method, what) == ("PUT", ""):
        asked = json.loads(await read_body(receive))
        if not step.is_asked:
            step.ask(asked, _granted(program, asked))
        folder.wake()
        await send_answer(send, Answer.of({}))
    elif (method, what) == ("GET", ""):
        await send_answer(send, Answer.of(await _news(program, step, query)))
    elif (method, what) == ("POST", "cancel"):
        step.cancel()
        folder.wake()
        await send_answer(send, Answer.of({}))
    else:
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"There is no '{path}'.")


def _granted(program: Program, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the step may have of what its driver has.

    Returns:
        The run above it, what its parameters hand on, and the run that it goes on with, if any.
    """
    values = [str(value) for value in dict(asked["parameters"]).values()]
    own = program.grant.run_id
    parent, run_id = str(asked.get("parent") or own), str(asked.get("run_id") or "")
    return {
        "parent": parent if program.sees(RUN, parent) else own,
        "handed": [each for each in values if program.may_hand(each)],
        "run_id": run_id if run_id and program.sees(RUN, run_id, to_change=True) else "",
    }


async def _receive_file(file: Path, receive: Receive) -> None:
    whole, left, more = file.with_name(f"{file.name}.new"), _MOST_PROJECT, True
    with open_private(whole, "wb") as opened:
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "BAD_REQUEST", "The connection broke.")
            data = message.get("body", b"")
            left -= len(data)
            if left < 0:
                raise Refused(
                    413, "INVALID_PARAMETER_VALUE",
                    f"A project of a step has at most {human_size(_MOST_PROJECT)}.",
                )  # fmt: skip
            await asyncio.to_thread(opened.write, data)
            more = message.get("more_body", False)
    whole.replace(file)


async def _news(
    program: Program, step: StepFolder, query: Mapping[str, list[str]]
) -> dict[str, Any]:
    """What came since the last request; waits for something."""
    if not step.is_asked:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "There is no such step.")
    offset = int(query.get("offset", ["0"])[0])
    is_known = bool(query.get("known", [""])[0])
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        said = step.said()  # before the output, which is complete then
        output = _read(step.output, offset)
        news = output or said.has_ended or (said.run_id and not is_known)
        if news or time.monotonic() > deadline:
            break
        await asyncio.sleep(_LOOK_SECONDS)
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
