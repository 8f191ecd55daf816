"""The description of a run on MLflow's page, in Markdown. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.container import FAILED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.container import Outcome

# The text before this line is the user's; the text after is replaced.
_BEGIN: Final = "<!-- container-backend -->"
_MOST_CHARACTERS: Final = 4500
_LINE_CHARACTERS: Final = 300
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0


@dataclass(frozen=True)
class Facts:
    """The facts of an ended run for its description.

    Attributes:
        image: The reference of the image.
        command: The command of the program.
        seconds: Duration; None for a run that never started.
        again: The words of the command that repeats the run.
        remarks: Further paragraphs.
    """

    image: str
    digest: str
    command: str
    seconds: float | None
    attempts: int
    again: Sequence[str]
    remarks: Sequence[str] = ()


def describe_end(facts: Facts, outcome: Outcome, tail: Sequence[str], existing: str = "") -> str:
    """The description of an ended run.

    Args:
        tail: The last lines of the output, shown for a failed run.
        existing: The current description; the user's part of it stays.
    """
    rows = [
        ("status", _status(outcome)),
        ("command", _code(facts.command)),
        ("image", _code(facts.image)),
        ("digest", _code(facts.digest) if facts.digest else ""),
        ("duration", "" if facts.seconds is None else duration(facts.seconds)),
        ("attempts", str(facts.attempts) if facts.attempts > 1 else ""),
    ]
    lines = ["| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows if text)]
    for remark in facts.remarks:
        lines += ["", remark]
    again = ["", "To repeat it:", "", *_block([shlex.join(facts.again)], "sh")]
    size = sum(map(len, [*lines, *again])) + len(existing)
    if tail and outcome.status == FAILED:
        lines += ["", "The last lines of its output:", "", *_block(_fitting(tail, size))]
    own = existing.partition(_BEGIN)[0].rstrip()
    return "\n".join([*([own, ""] if own else []), _BEGIN, "", *lines, *again])


def _status(outcome: Outcome) -> str:
    code = "" if outcome.exit_code is None else f" (exit code {outcome.exit_code})"
    if not outcome.reason:
        return f"**{outcome.status}**{code}"
    reason = _cell(outcome.reason)
    return f"**{outcome.status}**: {reason}{'' if 'exit code' in reason else code}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    one_line = _cell(text)
    fence = "`"
    while fence in one_line:
        fence += "`"
    # Markdown hides one space on either side: https://spec.commonmark.org/0.31.2/#code-spans
    pad = " " if "`" in {one_line[:1], one_line[-1:]} else ""
    return f"{fence}{pad}{one_line}{pad}{fence}"


def _block(lines: Sequence[str], language: str = "") -> list[str]:
    fence = "```"
    while any(fence in line for line in lines):
        fence += "`"
    return [f"{fence}{language}", *lines, fence]


def _fitting(lines: Sequence[str], taken: int) -> list[str]:
    """The last lines that fit beside ``taken`` characters."""
    room = _MOST_CHARACTERS - taken
    kept: list[str] = []
    for line in reversed(lines):
        shown = line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"
        room -= len(shown) + 1
        if room < 0:
            break
        kept.insert(0, shown)
    return kept


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
