"""What a project image says of itself: its entry points, their parameters, how it is run.

Part of project images: see :mod:`container_backend.entry_points`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from container_backend.entry_points import EntryPoint
    from container_backend.parameters import Parameter


def entry_point_lines(entry_points: Iterable[EntryPoint]) -> list[str]:
    """Lines for people: each entry point, and a line for each of its parameters."""
    lines: list[str] = []
    for entry_point in entry_points:
        lines.append(f"  {entry_point.name}")
        if entry_point.description:
            lines.append(f"      {_one_line(entry_point.description)}")
        rows = [_cells(parameter) for parameter in entry_point.parameters.values()]
        lines += [f"      {row}" for row in _columns(rows)]
    return lines


def _cells(parameter: Parameter) -> tuple[str, str, str, str]:
    needed = "needed" if parameter.default is None else f"default: {parameter.default}"
    return (
        f"-P {parameter.name}=…",
        parameter.type,
        _one_line(needed),
        _one_line(parameter.description),
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows whose cells stand below each other; the last column is as wide as it is."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()  # noqa: B905
        for row in rows
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())
