"""Options that several commands have."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

from container_backend.config import parse_config, read_config
from container_backend.project import read_pairs
from container_backend.runs import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Command = Callable[..., None]
    _Decorator = Callable[[_Command], _Command]

_SUBMITTED: Final = {field.name for field in fields(Submission)}


def _config(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> dict[str, Any]:
    return read_config(value) if value else {}


def _pairs(
    _context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    try:
        return read_pairs(values)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error


def _docker_args(
    _context: click.Context, parameter: click.Parameter, values: Sequence[str]
) -> dict[str, Any]:
    """Read ``name=value`` or ``name``; a repeated name becomes a list."""
    collected: dict[str, list[Any]] = {}
    for given in values:
        name, equals, value = given.partition("=")
        if not name:
            raise click.BadParameter(f"'{given}': write it as name=value.", param=parameter)
        collected.setdefault(name, []).append(value if equals else True)
    return {name: found[0] if len(found) == 1 else found for name, found in collected.items()}


def backend_config(what: str = "Backend config") -> _Decorator:
    return click.option(
        "-c",
        "--backend-config",
        "backend_config",
        metavar="FILE|JSON",
        callback=_config,
        help=f"{what}: a JSON file, or JSON.",
    )


def parameters(what: str) -> _Decorator:
    return click.option(
        "-P", "parameters", multiple=True, metavar="NAME=VALUE", callback=_pairs, help=what
    )


def docker_args(what: str) -> _Decorator:
    return click.option(
        "-A",
        "--docker-args",
        "docker_args",
        multiple=True,
        metavar="NAME[=VALUE]",
        callback=_docker_args,
        help=what,
    )


def submission(command: _Command) -> _Command:
    """Add URI, ``-e``, ``-v`` and ``-c`` to a command that takes a ``submission``.

    Other options of the command that have the name of a field of Submission go into it as well.
    """

    @click.argument("uri")
    @click.option(
        "-e",
        "--entry-point",
        default="main",
        show_default=True,
        metavar="NAME",
        help="Entry point to run or to build for.",
    )
    @click.option("-v", "--version", metavar="REF", help="Branch, tag or commit of a git project.")
    @backend_config()
    @wraps(command)
    def with_submission(backend_config: dict[str, Any], **given: Any) -> None:  # noqa: ANN401
        config = parse_config(backend_config)
        submitted = {name: given.pop(name) for name in _SUBMITTED & given.keys()}
        command(submission=Submission(config=config, **submitted), **given)

    return with_submission


def show(answer: object, text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(answer, indent=2) if as_json else text)


plain = click.option(
    "--plain", is_flag=True, help="Show control characters in the program's output as escapes."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
