"""Compute the command line of a run from an entry point and values of its parameters.

Part of project images: see :mod:`container_backend.project.entry_points`.
"""

from __future__ import annotations

import logging
import re
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from container_backend.errors import InvalidProject
from container_backend.masking import without_credentials
from container_backend.project.parameters import TYPES, Parameter, is_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from container_backend.project.entry_points import EntryPoint, Project

_logger = logging.getLogger(__package__)
# MAX_ARG_STRLEN of Linux, including the final NUL: https://man7.org/linux/man-pages/man2/execve.2.html
_MOST_ARGUMENT_BYTES: Final = 128 * 1024


@dataclass(frozen=True)
class Download:
    """A file to download before the program starts, for a parameter of type path.

    Attributes:
        is_public: Only from a public server, and without a login of the user.
    """

    parameter: str
    uri: str
    target: Path
    is_public: bool = False


@dataclass(frozen=True)
class Command:
    """The command of a run.

    Attributes:
        line: A line for a POSIX shell, with all values quoted.
        parameters: Name → value as given, for the record of the run.
        paths: Absolute paths of the files and folders that the program gets.
        downloads: The files of ``paths`` that must be downloaded first.
    """

    line: str
    parameters: Mapping[str, str]
    paths: tuple[Path, ...] = ()
    downloads: tuple[Download, ...] = ()


def compute_command(
    project: Project, entry_point: EntryPoint, values: Mapping[str, object], storage: Path
) -> Command:
    """Replace the placeholders of a command by values, and append values of undeclared parameters.

    The rules are those of ``mlflow.projects._project_spec.EntryPoint.compute_command``: declared
    values are quoted for a shell and replace ``{name}``; other values are appended as
    ``--name value``. Unlike MLflow, values are checked against their types.

    Args:
        storage: The folder for downloads.

    Raises:
        InvalidProject: Values are missing, wrong or cannot be passed on (the message names all),
            or the command uses an undeclared parameter.
    """
    where = f"{project.where}, entry point '{entry_point.name}'"
    given = {str(name): str(value) for name, value in values.items()}
    problems = [
        f"the value of '{name}' contains a NUL character, which no program can receive"
        for name, value in given.items()
        if "\0" in name + value
    ]
    passed: dict[str, str] = {}
    for name, parameter in entry_point.parameters.items():
        try:
            passed[name] = _value(where, parameter, given.get(name))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        missing = [
            name
            for name, parameter in entry_point.parameters.items()
            if name not in given and parameter.default is None
        ]
        advice = "Give " + " ".join(f"-P {name}=…" for name in missing) + "."
        raise InvalidProject(f"{where}: {'; '.join(problems)}.", remedy=advice if missing else None)
    paths, downloads = _files(entry_point, passed, storage)
    passed.update({name: str(path) for name, path in paths.items()})
    extra = {name: value for name, value in given.items() if name not in passed}
    words = [_fill(where, entry_point.command, passed)]
    words += [f"--{shlex.quote(name)} {shlex.quote(value)}" for name, value in extra.items()]
    logged = {
        name: given.get(name, str(parameter.default))
        for name, parameter in entry_point.parameters.items()
    }
    line = " ".join(words)
    check_size(where, _whole({**passed, **extra}), line)
    return Command(line, {**logged, **extra}, tuple(paths.values()), downloads)


def check_size(where: str, what: str, text: str) -> None:
    """Check the size of an argument or a variable.

    Raises:
        InvalidProject: The text is longer than Linux allows.
    """
    _check_bytes(where, what, len(text.encode("utf-8", "surrogatepass")))


def _whole(values: Mapping[str, str]) -> str:
    """The command, for a message about its size."""
    if not values:
        return "the command"
    longest = max(values, key=lambda name: len(values[name]))
    return f"the command with the parameter '{longest}', the longest one,"


def _check_bytes(where: str, what: str, size: int) -> None:
    if size >= _MOST_ARGUMENT_BYTES:
        raise InvalidProject(
            f"{where}: {what} has {size} bytes; a program can receive at most "
            f"{_MOST_ARGUMENT_BYTES - 1}.",
            remedy="Write the value to a file, and pass the file as a parameter of type path.",
        )


def download_files(downloads: Iterable[Download], download: Callable[[Download], object]) -> None:
    """Download files with a function that may raise any error.

    Raises:
        InvalidProject: A file cannot be downloaded.
    """
    for wanted in downloads:
        address = without_credentials(wanted.uri)
        where = f"The parameter '{wanted.parameter}' names '{address}'"
        _logger.info("=== Downloading %s ===", address)
        try:
            download(wanted)
        except Exception as error:
            raise InvalidProject(f"{where}, which cannot be downloaded: {error}") from error
        if not wanted.target.exists():
            raise InvalidProject(f"{where}, but the download has no file of that name.")


def _value(where: str, parameter: Parameter, given: str | None) -> str:
    """The value for the program; a default of the wrong type is only logged, as MLflow accepts it."""
    shown = f"parameter '{parameter.name}' ({parameter.type})"
    if parameter.type not in TYPES:
        unknown = f"the type '{parameter.type}' of parameter '{parameter.name}'"
        known = ", ".join(TYPES)
        _logger.warning("%s: %s is unknown and treated as string; known: %s", where, unknown, known)
    if given is not None:
        try:
            return parameter.read(given)
        except ValueError as error:
            instead = "" if parameter.type == "path" and given else f", not '{given}'"
            raise ValueError(f"the {shown} {error}{instead}") from None
    if parameter.default is None:
        raise ValueError(f"no value for the {shown}")
    try:
        read = parameter.read(parameter.located_default)
    except ValueError as error:
        default = parameter.default
        _logger.warning("%s: the default of %s is '%s', but it %s", where, shown, default, error)
        return default
    return read if parameter.type == "path" else parameter.default


def _files(
    entry_point: EntryPoint, passed: Mapping[str, str], storage: Path
) -> tuple[dict[str, Path], tuple[Download, ...]]:
    """The paths of the files for the program by parameter, and the downloads."""
    paths: dict[str, Path] = {}
    downloads: list[Download] = []
    for name, parameter in entry_point.parameters.items():
        value = passed[name]
        if parameter.type != "path":
            continue
        if is_address(value):
            paths[name] = storage / f"param_{len(downloads)}" / _file_name(value)
            downloads.append(Download(name, value, paths[name], is_public=parameter.is_public))
        elif Path(value).exists():
            paths[name] = Path(value)
    return paths, tuple(downloads)


def _file_name(address: str) -> str:
    """The last part of an address: the project must not choose the folder of a download."""
    last = PurePosixPath(unquote(urlsplit(address).path)).name
    return last if last not in {"", ".."} else "download"


# What follows the name of a value in a format string: an attribute or an item.
_PART: Final = re.compile(r"[.\[]")


def _fill(where: str, command: str, values: Mapping[str, str]) -> str:
    quoted = {name: shlex.quote(value) for name, value in values.items()}
    size = 0
    try:
        for text, name, specification, conversion in Formatter().parse(command):
            size += len(text) + len(quoted.get(name or "", ""))
            if name is not None and (specification or conversion or _PART.search(name)):
                # `{a:>9999999999}` would be a text of that length.
                raise ValueError(f"'{name}' has more than a name")
        # Before the text is made, which could have any length.
        _check_bytes(where, _whole(values), size)
        return Formatter().vformat(command, (), quoted)
    except KeyError as error:
        raise InvalidProject(
            f"{where}: the command uses {{{error.args[0]}}}, but no such parameter is declared.",
            remedy="Declare it under 'parameters', or write {{ and }} for literal braces.",
        ) from error
    except (IndexError, ValueError, AttributeError, TypeError) as error:
        raise InvalidProject(
            f"{where}: the command's braces cannot be read: {error}.",
            remedy="Use {name} for a parameter, and {{ and }} for literal braces.",
        ) from error
