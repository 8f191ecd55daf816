"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from container_backend.config import read_config
from container_backend.project import read_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

if TYPE_CHECKING:
    _Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _config(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> dict[str, Any]:
    return read_config(value) if value else {}


def _pairs(
    _context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    """``name=value``, each name once."""
    try:
        return read_pairs(values)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


def _docker_args(
    _context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, Any]:
    """``name=value`` or ``name``; a name given twice becomes a list."""
    collected: dict[str, list[Any]] = {}
    for given in values:
        name, equals, value = given.partition("=")
        if not name:
            raise click.BadParameter(f"'{given}': write it as name=value.", param=parameter)
        collected.setdefault(name, []).append(value if equals else True)
    return {name: found[0] if len(found) == 1 else found for name, found in collected.items()}


version = click.option(
    "-v", "--version", metavar="REF", help="Branch, tag or commit, for a project from git."
)


def backend_config(what: str = "Backend config") -> _Decorator:
    """``-c``; what it is, is said in the command's help."""
    return click.option(
        "-c",
        "--backend-config",
        "backend_config",
        metavar="FILE|JSON",
        callback=_config,
        help=f"{what}: a JSON file, or JSON.",
    )


def parameters(what: str) -> _Decorator:
    """``-P``; what it is, is said in the command's help."""
    return click.option(
        "-P", "parameters", multiple=True, metavar="NAME=VALUE", callback=_pairs, help=what
    )


def docker_args(what: str) -> _Decorator:
    """``-A``; what it is, is said in the command's help."""
    return click.option(
        "-A",
        "--docker-args",
        "docker_args",
        multiple=True,
        metavar="NAME[=VALUE]",
        callback=_docker_args,
        help=what,
    )


as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
entry_point = click.option(
    "-e", "--entry-point", default="main", show_default=True, metavar="NAME", help="Which one."
)
