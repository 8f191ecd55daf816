"""Tables, sizes, ages and texts of others, for a terminal."""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_THOUSAND: Final = 1000
_LONGEST_NAME: Final = 100
_LONGEST_SHOWN: Final = 200
_AGES: Final = ((86_400, "d"), (3600, "h"), (60, "min"))
# Controls (C0, C1), marks of direction and other format characters, halves of pairs, line breaks:
# https://www.unicode.org/reports/tr44/#General_Category_Values
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Joiners, which some scripts and emojis need.
_JOINERS: Final = "\u200c\u200d"


def harmless(text: str, kept: str = "") -> str:
    """A text in which nothing moves the cursor, breaks the line or turns the direction.

    Args:
        text: Of any origin: a name, a label, a message.
        kept: Characters that stay as they are, such as line breaks.
    """
    if text.isprintable():
        return text
    kept += _JOINERS
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HARMFUL and character not in kept
        else character
        for character in text
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to add to a message about an unknown name: `` (did you mean 'x'?)``; empty without a near name."""
    # The time grows with the square of the length.
    near = difflib.get_close_matches(name, known, n=1) if len(name) <= _LONGEST_NAME else []
    return f" (did you mean '{near[0]}'?)" if near else ""


def shortened(text: str) -> str:
    """A text of others for a message: its beginning, if it is long."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def human_size(size: float) -> str:
    """Bytes as the docker command writes them: ``1.07 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < _THOUSAND:
            return f"{size:.3g} {unit}"
        size /= _THOUSAND
    return f"{size:.3g} TB"


def human_age(seconds: float) -> str:
    """``5 min``, ``3 h``, ``12 d``; ``now`` for less than a minute."""
    for length, unit in _AGES:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "now"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Rows with aligned columns, below a head; cells may be texts of others."""
    rows = [[harmless(cell) for cell in line] for line in (head, *lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in shown)
