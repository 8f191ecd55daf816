"""Options that more than one command has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


def pairs(
    _context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    """``name=value``, each name once."""
    pairs: dict[str, str] = {}
    for given in values:
        name, equals, value = given.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{given}': write it as name=value.", param=parameter)
        if name in pairs:
            raise click.BadParameter(f"'{name}' is given twice.", param=parameter)
        pairs[name] = value
    return pairs
