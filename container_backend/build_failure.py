"""A failed build in words: which step it was, and what it said last. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from container_backend.build_steps import describe_step, instruction_of
from container_backend.build_view import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.buildkit import BuildFailed

_SHOWN_LINES: Final = 80
_EXPLANATION: Final = "No solution found"
# What engines say of a program that failed, around the whole command line: 20.10, and newer ones.
_EXITED: Final = re.compile(
    r"(?:executor failed running \[.*\]:|process \".*\" did not complete successfully:) "
    r"exit code: (\d+)$",
    re.DOTALL,
)


def describe_failure(error: BuildFailed) -> str:
    """What failed, and the last lines of its output, indented."""
    return "\n".join(
        [_summary(error), *(f"    {plain_text(line)}" for line in _shown(error.output))]
    )


def _shown(output: Sequence[str]) -> Sequence[str]:
    """The last lines, but an explanation of uv's from its beginning."""
    begin = next((place for place, line in enumerate(output) if _EXPLANATION in line), len(output))
    return output[min(begin, max(0, len(output) - _SHOWN_LINES)) :]


def _summary(error: BuildFailed) -> str:
    start = "The environment image could not be built"
    if error.step is None:
        return f"{start}: {error.message}"
    step = describe_step(error.step) or error.step
    exited = _EXITED.search(error.message)
    if exited is None:
        return f"{start}.\nFailed step: {step}\n    {error.message}"
    # The instruction of somebody's own template is shown whole.
    return f"{start}.\nFailed step: {instruction_of(error.step) or step} (exit code {exited[1]})"
