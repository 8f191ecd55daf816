"""BuildKit's account of a build: which steps there are, what they print, how they end. Pure.

Messages: ``moby.buildkit.v1.StatusResponse`` in ``api/services/control/control.proto`` of
https://github.com/moby/buildkit; the engine sends them base64-encoded in a line of JSON each.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from container_backend.image.buildkit.protobuf import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

# A compiler's complaints begin with the package's name.
_KEPT_LINES: Final = 400
_KEPT_TRANSFERS: Final = 200
# How much further a transfer must be for it to be told: so there are not many more events than this.
_TOLD_PARTS: Final = 100
_NANOSECONDS: Final = 1_000_000_000
_NEGATIVE: Final = 1 << 63
STARTED: Final = "started"
OUTPUT: Final = "output"
TRANSFER: Final = "transfer"
EXTRACT: Final = "extract"
COMPLETED: Final = "completed"
CACHED: Final = "cached"
FAILED: Final = "failed"


class StepEvent(NamedTuple):
    """Something happened to a step.

    Attributes:
        step: Its name: the Dockerfile's instruction.
        kind: ``started``, ``output``, ``transfer``, ``completed``, ``cached`` or ``failed``.
        seconds: How long it took, when it is over. It may begin again: then, in all.
        text: A line that it printed, its error, or what it does with what it has transferred.
        current: Bytes that it has transferred so far.
        total: Bytes that it will have, as far as is known yet.
    """

    step: str
    kind: str
    seconds: float | None = None
    text: str | None = None
    current: int = 0
    total: int = 0


@dataclass(frozen=True)
class Vertex:
    """A step, as far as one message tells of it. Times in seconds since 1970."""

    digest: str
    name: str
    cached: bool
    started: float | None
    completed: float | None
    error: str


@dataclass(frozen=True)
class VertexLog:
    """Some bytes that a step printed; they may end within a line."""

    vertex: str
    data: bytes


@dataclass(frozen=True)
class VertexStatus:
    """How far something is that a step does, such as the download of a layer; mostly in bytes."""

    vertex: str
    id: str
    name: str
    current: int
    total: int


@dataclass
class Step:
    """A step, as far as all messages told of it."""

    name: str
    started: float | None = None
    completed: float | None = None
    seconds: float = 0.0
    cached: bool = False
    error: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))
    unfinished: bytes = b""
    transfers: dict[str, tuple[int, int]] = field(default_factory=dict)
    told: tuple[int, int] = (0, 0)
    extracting: bool = False

    def output(self) -> tuple[str, ...]:
        """The last lines that it printed."""
        rest = self.unfinished.decode("utf-8", "replace").rstrip()
        return (*self.lines, rest) if rest else tuple(self.lines)


def decode(message: bytes) -> Iterator[Vertex | VertexStatus | VertexLog]:
    """The steps, transfers and outputs that a ``StatusResponse`` tells of.

    Raises:
        ValueError: It is not one.
    """
    for number, value in fields(message):
        if number == 1 and isinstance(value, bytes):
            yield _vertex(value)
        elif number == 2 and isinstance(value, bytes):  # noqa: PLR2004 statuses
            yield _status(value)
        elif number == 3 and isinstance(value, bytes):  # noqa: PLR2004 logs
            yield _log(value)


def _vertex(message: bytes) -> Vertex:
    values = dict(fields(message))
    return Vertex(
        digest=_text(values.get(1)),
        name=_text(values.get(3)),
        cached=bool(values.get(4)),
        started=_time(values.get(5)),
        completed=_time(values.get(6)),
        error=_text(values.get(7)),
    )


def _status(message: bytes) -> VertexStatus:
    values = dict(fields(message))
    return VertexStatus(
        vertex=_text(values.get(2)),
        id=_text(values.get(1)),
        name=_text(values.get(3)),
        current=_size(values.get(4)),
        total=_size(values.get(5)),
    )


def _log(message: bytes) -> VertexLog:
    values = dict(fields(message))
    data = values.get(4, b"")
    return VertexLog(_text(values.get(1)), data if isinstance(data, bytes) else b"")


def _text(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _size(value: int | bytes | None) -> int:
    """An ``int64`` of bytes; a negative one, which stands for an unknown one, is none."""
    return value if isinstance(value, int) and value < _NEGATIVE else 0


def _time(value: int | bytes | None) -> float | None:
    """A ``google.protobuf.Timestamp``: seconds and nanoseconds."""
    if not isinstance(value, bytes):
        return None
    parts = dict(fields(value))
    seconds, nanoseconds = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanoseconds, int):
        return None
    return seconds + nanoseconds / _NANOSECONDS


class BuildLog:
    """All that was told of a build so far, in bounded memory."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._steps: dict[str, Step] = {}

    def add(self, message: bytes) -> Iterator[StepEvent]:
        """Take in a ``StatusResponse``; yields what is new in it."""
        for item in decode(message):
            if isinstance(item, Vertex):
                yield from self._add_vertex(item)
            elif item.vertex not in self._steps:
                continue
            elif isinstance(item, VertexStatus):
                yield from self._add_status(self._steps[item.vertex], item)
            else:
                yield from self._add_output(self._steps[item.vertex], item.data)

    def failed_step(self, message: str) -> Step | None:
        """The step that ended the build: whose error is contained in the final one.

        Others may have errors, too: they were cancelled because of it.
        """
        errors = [step for step in self._steps.values() if step.error]
        return next((step for step in errors if step.error in message), None)

    def _add_vertex(self, vertex: Vertex) -> Iterator[StepEvent]:
        step = self._steps.setdefault(vertex.digest, Step(vertex.name))
        begins = step.started is None or step.completed is not None
        if begins and vertex.started not in (None, step.started):
            # A base image is looked up, and then, as the same step, downloaded.
            step.started, step.completed = vertex.started, None
            yield StepEvent(step.name, STARTED)
        if vertex.completed is None or step.completed is not None:
            return
        step.completed, step.cached, step.error = vertex.completed, vertex.cached, vertex.error
        step.seconds += max(0.0, vertex.completed - (step.started or vertex.completed))
        if step.error:
            yield StepEvent(step.name, FAILED, step.seconds, step.error)
        else:
            yield StepEvent(step.name, CACHED if step.cached else COMPLETED, step.seconds)

    def _add_status(self, step: Step, status: VertexStatus) -> Iterator[StepEvent]:
        """The sum of a step's transfers, whenever it is a good part further or complete."""
        if not status.total:
            if status.name.startswith(EXTRACT) and not step.extracting and step.transfers:
                step.extracting = True
                yield StepEvent(step.name, TRANSFER, None, EXTRACT, *step.told)
            return
        if status.id in step.transfers or len(step.transfers) < _KEPT_TRANSFERS:
            step.transfers[status.id] = (min(status.current, status.total), status.total)
        current = sum(done for done, _ in step.transfers.values())
        total = sum(size for _, size in step.transfers.values())
        told, told_total = step.told
        part = (current - told) * _TOLD_PARTS >= total
        if (current, total) != step.told and (part or total != told_total or current == total):
            step.told = (current, total)
            yield StepEvent(step.name, TRANSFER, current=current, total=total)

    def _add_output(self, step: Step, data: bytes) -> Iterator[StepEvent]:
        *complete, step.unfinished = (step.unfinished + data).split(b"\n")
        for raw in complete:
            # What a progress bar wrote over is gone on a terminal, too.
            line = raw.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
            step.lines.append(line)
            yield StepEvent(step.name, OUTPUT, text=line)
