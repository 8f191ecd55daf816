"""Tables, sizes and ages for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


_THOUSAND: Final = 1000
_AGES: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


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
    """Rows with aligned columns, below a head."""
    rows = [head, *lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in shown)
