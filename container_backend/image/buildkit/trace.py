"""BuildKit's trace of a build → events of its steps: their output, transfers and end. Pure.

The messages are ``moby.buildkit.v1.StatusResponse`` of ``api/services/control/control.proto`` in
https://github.com/moby/buildkit; the numbers below are the field numbers there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from container_backend.image.buildkit.protobuf import fields, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# Enough for the whole output of a compiler: the package's name is at its beginning.
_KEPT_LINES: Final = 400
_KEPT_TRANSFERS: Final = 200
# A transfer of a step makes about so many events.
_TOLD_PARTS: Final = 100
_VERTEX, _STATUS, _LOG = 1, 2, 3
_ENDS: Final = ("completed", "cached", "failed")
_NANOSECONDS: Final = 1_000_000_000
_NEGATIVE: Final = 1 << 63
_EXTRACT: Final = "extract"
_Message: TypeAlias = "dict[int, int | bytes]"


class StepEvent(NamedTuple):
    """An event of a step.

    Attributes:
        step: The name of the step: the Dockerfile's instruction.
        seconds: The duration of a step that has ended; a step may start again, then all of it.
        text: A line of output, an error, or ``extract`` once the transferred data is unpacked.
        current: Transferred bytes.
        total: Bytes to transfer, as far as BuildKit knows.
    """

    step: str
    kind: Literal["started", "output", "transfer", "completed", "cached", "failed"]
    seconds: float | None = None
    text: str | None = None
    current: int = 0
    total: int = 0


@dataclass
class Step:
    """The state of a step after all messages so far; times in seconds since 1970."""

    name: str
    started: float | None = None
    completed: float | None = None
    seconds: float = 0.0
    error: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    unfinished: bytes = b""
    transfers: dict[str, tuple[int, int]] = field(default_factory=dict)
    told: tuple[int, int] = (0, 0)
    extracting: bool = False

    def output(self) -> tuple[str, ...]:
        """The last lines of output."""
        rest = self.unfinished.decode("utf-8", "replace").rstrip()
        return (*self.lines, rest) if rest else tuple(self.lines)


def _number(value: int | bytes | None) -> int:
    """An ``int64``; 0 for a negative number, which BuildKit uses for an unknown size."""
    return value if isinstance(value, int) and value < _NEGATIVE else 0


def _time(value: int | bytes | None) -> float | None:
    """A ``google.protobuf.Timestamp`` in seconds since 1970."""
    if not isinstance(value, bytes):
        return None
    parts = dict(fields(value))
    return _number(parts.get(1)) + _number(parts.get(2)) / _NANOSECONDS


class BuildLog:
    """The steps of a build so far, in bounded memory."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def add(self, message: bytes) -> Iterator[StepEvent]:
        """Take in a ``StatusResponse``, and yield its new events.

        The ends of steps precede the last output in a message. They are yielded after the output.

        Raises:
            ValueError: The message is invalid.
        """
        ends: list[StepEvent] = []
        for event in self._events(message):
            if event.kind in _ENDS:
                ends.append(event)
                continue
            if event.kind == "started" and any(end.step == event.step for end in ends):
                yield from ends
                ends.clear()
            yield event
        yield from ends

    def failed_step(self, message: str) -> Step | None:
        """The step whose error is part of the build's; other errors are cancellations."""
        errors = [step for step in self._steps.values() if step.error]
        return next((step for step in errors if step.error in message), None)

    def _events(self, message: bytes) -> Iterator[StepEvent]:
        """The new events of a message in its order: of vertices, transfers, output."""
        for number, value in fields(message):
            if number not in {_VERTEX, _STATUS, _LOG} or not isinstance(value, bytes):
                continue
            part = dict(fields(value))
            if number == _VERTEX:
                yield from self._add_vertex(part)
            elif number == _STATUS and (step := self._steps.get(text_of(part.get(2)))):
                yield from self._add_status(step, part)
            elif number == _LOG and (step := self._steps.get(text_of(part.get(1)))):
                yield from self._add_output(step, part.get(4))

    def _add_vertex(self, vertex: _Message) -> Iterator[StepEvent]:
        step = self._steps.setdefault(text_of(vertex.get(1)), Step(text_of(vertex.get(3))))
        started, completed = _time(vertex.get(5)), _time(vertex.get(6))
        begins = step.started is None or step.completed is not None
        if begins and started not in (None, step.started):
            # BuildKit looks up a base image, and then downloads the image as the same step.
            step.started, step.completed = started, None
            yield StepEvent(step.name, "started")
        if completed is None or step.completed is not None:
            return
        step.completed, step.error = completed, text_of(vertex.get(7))
        step.seconds += max(0.0, completed - (step.started or completed))
        if step.error:
            yield StepEvent(step.name, "failed", step.seconds, step.error)
        else:
            yield StepEvent(step.name, "cached" if vertex.get(4) else "completed", step.seconds)

    def _add_status(self, step: Step, status: _Message) -> Iterator[StepEvent]:
        """Yield the sum of a step's transfers once it has grown by a good part, or is complete."""
        transfer = text_of(status.get(1))
        current, total = _number(status.get(4)), _number(status.get(5))
        if not total:
            name = text_of(status.get(3))
            if name.startswith(_EXTRACT) and not step.extracting and step.transfers:
                step.extracting = True
                yield StepEvent(step.name, "transfer", None, _EXTRACT, *step.told)
            return
        if transfer in step.transfers or len(step.transfers) < _KEPT_TRANSFERS:
            step.transfers[transfer] = (min(current, total), total)
        current = sum(done for done, _ in step.transfers.values())
        total = sum(size for _, size in step.transfers.values())
        told, told_total = step.told
        part = (current - told) * _TOLD_PARTS >= total
        if (current, total) != step.told and (part or total != told_total or current == total):
            step.told = (current, total)
            yield StepEvent(step.name, "transfer", current=current, total=total)

    def _add_output(self, step: Step, data: int | bytes | None) -> Iterator[StepEvent]:
        """Take in bytes, which may end within a line."""
        if not isinstance(data, bytes):
            return
        *complete, step.unfinished = (step.unfinished + data).split(b"\n")
        for raw in complete:
            # As on a terminal, only the last state of a progress bar stays.
            line = raw.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
            step.lines.append(line)
            yield StepEvent(step.name, "output", text=line)
