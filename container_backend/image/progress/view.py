"""The events of a build, folded to a line for each step. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from container_backend.image.progress.steps import (
    Installation,
    count_of,
    describe_step,
    is_base,
    is_of_wheels,
    layer_of,
    size_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.image.buildkit import StepEvent

RUNNING: Final = "running"
DONE: Final = "done"
CACHED: Final = "cached"
FAILED: Final = "failed"
STOPPED: Final = "stopped"
_ENDS: Final = {"completed": DONE, "cached": CACHED, "failed": FAILED}
_WORTH_SAYING_SECONDS: Final = 0.1
_MINUTE: Final = 60
# Smaller transfers are the manifest of an image, not its layers.
_LEAST_SIZE: Final = 100_000
# Lines of templates/split_lock.py, templates/install.sh and templates/wheels.sh.
_COUNT: Final = re.compile(r"^(\w+): (\d+) packages$")
_NOTHING: Final = ("nothing in this layer", "nothing to build", "no library is missing")
# BuildKit's error of a step that was stopped because another step failed.
_CANCELED: Final = "context canceled"
# Escape sequences and control characters, which would move the cursor.
_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x1f\x7f-\x9f]"
)


@dataclass
class StepView:
    """A step.

    Attributes:
        started: Seconds of the clock that the view is given.
        state: ``running``, ``done``, ``cached``, ``failed``, or ``stopped`` after another failed.
        seconds: The duration of a step that has ended.
        detail: The progress, or the last line of output.
        size: Bytes to transfer; 0 for none.
    """

    words: str
    started: float
    state: str = RUNNING
    seconds: float = 0.0
    detail: str = ""
    size: int = 0
    installation: Installation | None = field(default=None, repr=False)

    @property
    def is_worth_saying(self) -> bool:
        """False for a step that succeeded in no noticeable time."""
        return self.state != DONE or self.seconds >= _WORTH_SAYING_SECONDS

    def time(self, now: float) -> str:
        """The duration so far, or ``cached``."""
        if self.state == RUNNING:
            return duration(max(0.0, now - self.started))
        return CACHED if self.state == CACHED else duration(self.seconds)


class BuildView:
    """The steps of a build so far, in the order of their start."""

    def __init__(self) -> None:
        self._steps: dict[str, StepView] = {}
        self._counts: dict[str, int] = {}
        self._hidden: set[str] = set()

    def __iter__(self) -> Iterator[StepView]:
        """The steps that are worth a line; another thread may add events meanwhile."""
        shown: dict[str, StepView] = {}
        for name, step in list(self._steps.items()):
            if name not in self._hidden and step.is_worth_saying:
                # Of several steps with the same words, only the last is shown.
                shown[step.words] = step
        return iter(shown.values())

    def add(self, event: StepEvent, now: float) -> StepView | None:
        """Take in an event, and return its step; None for a step that is not shown.

        Args:
            now: Seconds of any clock.
        """
        step = self._step(event, now)
        if step is None:
            return None
        if event.kind == "output":
            self._add_output(event, step)
        elif event.kind == "transfer" and event.total >= _LEAST_SIZE:
            step.size = event.total
            step.detail = f"{size_of(event.current, event.total)} of {size_of(event.total)}"
            if event.text:
                step.detail = f"{size_of(event.total)}, unpacking"
        elif event.kind == "started" and step.state != RUNNING:
            step.state, step.started = RUNNING, now - step.seconds
        elif event.kind in _ENDS:
            canceled = event.kind == "failed" and _CANCELED in (event.text or "")
            step.state = STOPPED if canceled else _ENDS[event.kind]
            step.seconds = event.seconds or 0.0
            if step.size:
                step.detail = size_of(step.size)
        return None if event.step in self._hidden else step

    def stop(self, now: float) -> None:
        """Mark running steps as stopped: the build failed, or was interrupted."""
        for step in self._steps.values():
            if step.state == RUNNING:
                step.state, step.seconds = STOPPED, now - step.started

    def _step(self, event: StepEvent, now: float) -> StepView | None:
        """The step of an event; None for a step that is never shown."""
        words = describe_step(event.step)
        if words is None:
            return None
        layer = layer_of(event.step)
        if layer is not None and self._counts.get(layer) == 0:
            self._hidden.add(event.step)
        step = self._steps.get(event.step)
        if step is None:
            step = self._steps[event.step] = StepView(words, now)
            if layer is not None:
                step.installation = Installation()
        if event.kind == "cached" and layer is not None:
            self._name_cached(event.step, step, layer)
        if event.kind == "cached" and (is_base(event.step) or is_of_wheels(event.step)):
            self._hidden.add(event.step)  # the engine had the image; there was nothing to build
        return step

    def _name_cached(self, name: str, step: StepView, layer: str) -> None:
        """Show cached layers as one step if their output, which BuildKit omits, is unknown."""
        if layer in self._counts:
            step.detail = count_of(self._counts[layer])
            return
        step.words = "installing the packages"
        if any(other.words == step.words for other in self._steps.values() if other is not step):
            self._hidden.add(name)

    def _add_output(self, event: StepEvent, step: StepView) -> None:
        line = plain_text(event.text or "").strip()
        if match := _COUNT.match(line):
            self._counts[match[1]] = int(match[2])
            step.detail = count_of(sum(self._counts.values()))
        elif line in _NOTHING:
            self._hidden.add(event.step)
        elif step.installation is not None:
            step.detail = step.installation.add(line)
        elif line:
            step.detail = line


def plain_text(line: str) -> str:
    """A line of output without control characters."""
    return _CONTROL.sub("", line.replace("\t", " "))


def duration(seconds: float) -> str:
    """``0.3 s``, ``2 min 05 s``."""
    if seconds < _MINUTE - 0.05:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02d} s"
