"""The environment of an entry point: its file, and the additions of a lock and the config."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container_backend.config import AUTO, OF_COMMIT
from container_backend.environment.access import python_settings
from container_backend.environment.declared import Declared, DockerEnvironment
from container_backend.environment.kinds import KINDS, UNREAD, FileKind, ImageKind
from container_backend.environment.lock import find_lock, with_lock
from container_backend.environment.spec import EnvironmentSpec, spec_of, with_unsaid_needs
from container_backend.errors import InvalidConfig, InvalidEnvironment
from container_backend.machine import end_of_day, kind_of, named_path, read_text, shortened
from container_backend.project import day_of_commit, folders_above

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.config import BackendConfig
    from container_backend.privileges import Permissions
    from container_backend.project import EntryPoint, Project

_logger = logging.getLogger(__package__)
APT_FILE: Final = "apt.txt"
# https://www.debian.org/doc/debian-policy/ch-controlfields.html#source, and apt's `name=version`.
_SYSTEM_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?")


def read_environment(
    project: Project,
    entry_point: EntryPoint | None,
    config: BackendConfig,
    permissions: Permissions,
    *,
    locked: bool = True,
) -> EnvironmentSpec | DockerEnvironment:
    """Read the environment of an entry point.

    The nearest one counts: the entry point's, the project's, the first existing file of ``KINDS``.

    Args:
        entry_point: None for the project's own environment.
        config: Only ``system_packages``, ``python_match``, ``lock`` and ``exclude_newer`` have an
            effect.
        locked: False to ignore locks.

    Raises:
        InvalidEnvironment: A file is missing or invalid.
        InvalidProject: The project may not ask for variables of the user.
    """
    found = _read(project, entry_point, permissions)
    if isinstance(found, DockerEnvironment):
        return found
    spec = spec_of(found, project.directory, permissions)
    if config.python_match == "minor":
        spec = replace(spec, python=".".join(spec.python.split(".")[:2]))
    if locked and not spec.lock and (lock := find_lock(project.directory, config.lock)):
        spec = with_lock(spec, lock, project.directory, permissions)
    # Conda brings its Python.
    fetches_python = config.python_source == "uv" and spec.conda is None
    if not spec.lock:
        spec = with_unsaid_needs(spec)
    return replace(
        spec,
        system_packages=_system_packages(project, config),
        finds_libraries=AUTO in config.system_packages,
        fetches_python=fetches_python,
        python_settings=python_settings() if fetches_python else "",
        exclude_newer=_exclude_newer(project, spec, config.exclude_newer),
    )


def _exclude_newer(project: Project, spec: EnvironmentSpec, wanted: str | None) -> str:
    """The time that the backend config asks for; empty for none."""
    if wanted is None:
        return ""
    if spec.conda is not None:
        _logger.warning(
            "%s: 'exclude_newer' has no effect on the packages that micromamba installs",
            project.where,
        )
    if wanted != OF_COMMIT:
        return wanted
    day = day_of_commit(project.directory)
    if day is None:
        raise InvalidConfig(
            f"The backend config, key 'exclude_newer': '{OF_COMMIT}' needs a commit, and "
            f"'{project.directory}' is in no git repository with one.",
            remedy="Write a date like '2023-05-01'.",
        )
    _logger.info("=== Resolving as of %s, the day of the commit ===", day)
    return end_of_day(day)


def _read(
    project: Project, entry_point: EntryPoint | None, permissions: Permissions
) -> Declared | DockerEnvironment:
    named, where = project.environment, project.where
    if entry_point is not None and entry_point.environment:
        named = entry_point.environment
        where = f"{where}, key 'entry_points.{entry_point.name}'"
    if len(named) > 1:
        raise InvalidEnvironment(
            f"{where}: {' and '.join(sorted(named))} contradict each other.",
            remedy="Keep one of them.",
        )
    for key, value in named.items():
        kind = next(kind for kind in KINDS if kind.key == key)
        where = f"{where}, key '{key}'"
        if isinstance(kind, ImageKind):
            return kind.read(where, value)
        file = _named_file(project.directory, where, value, permissions)
        return _by(kind, file, project.directory) or Declared()
    return _found_in(project.directory)


def _found_in(root: Path) -> Declared:
    """The first environment of the table in a folder; where there is none, what is not read is named."""
    names = sorted(path.name for path in root.iterdir())
    # The last one counts: `requirements.txt` comes after `Requirements.txt`.
    files = {name.lower(): root / name for name in names if (root / name).is_file()}
    for kind in KINDS:
        if isinstance(kind, FileKind) and (file := files.get(kind.file)) is not None:
            found = _by(kind, file, root)
            if found is not None:
                return found
    if unread := list(filter(UNREAD.fullmatch, names)):
        _logger.warning(
            "%s: no file declares packages, and none are installed; not read: %s. Name one "
            "requirements.txt, conda.yaml or python_env.yaml, or in MLproject",
            *(root, ", ".join(unread)),
        )
    else:
        _warn_of_file_above(root)
    return Declared()


def _warn_of_file_above(root: Path) -> None:
    """Name the nearest environment above a project in its repository: MLflow does not read it, either."""
    for folder in folders_above(root):
        if not os.access(folder, os.R_OK):
            return
        files = {path.name.lower(): path for path in folder.iterdir() if path.is_file()}
        for kind in KINDS:
            if isinstance(kind, FileKind) and kind.above and (file := files.get(kind.file)):
                name = os.path.relpath(file, root)
                _logger.warning(
                    "%s: no file declares packages, and none are installed; not read: %s. If it is for "
                    "this project, write %s",
                    *(root, name, kind.above.format(file=name)),
                )
                return


def _by(kind: FileKind, file: Path, root: Path) -> Declared | None:
    found = kind.read(file, root)
    if found is None:
        return None
    form = found.python_form or kind.python
    # In a requirements line the name is relative, in a message the whole path is needed.
    shown = file if "'{file}'" in form else file.relative_to(root)
    return replace(
        found,
        template=found.template or kind.template,
        python_form=form.replace("{file}", str(shown)),
    )


def _named_file(root: Path, where: str, value: object, permissions: Permissions) -> Path:
    if not isinstance(value, str):
        raise InvalidEnvironment(f"{where}: the name of a file is needed, not {kind_of(value)}.")
    file = named_path(value, root, InvalidEnvironment, where)
    if not permissions.reaches(file, root):
        raise InvalidEnvironment(f"{where}: '{value}' is outside of the project.")
    if not file.is_file():
        raise InvalidEnvironment(
            f"{where}: there is no file '{shortened(value)}'.",
            remedy="Correct the name, or add the file.",
        )
    return file


def _system_packages(project: Project, config: BackendConfig) -> tuple[str, ...]:
    """The packages of the backend config and of ``apt.txt`` (``#`` begins a comment)."""
    where = "the backend config, key 'system_packages'"
    named = [(name, where) for name in config.system_packages if name != AUTO]
    file = project.directory / APT_FILE
    if file.is_file():
        for number, line in enumerate(read_text(file, InvalidEnvironment).splitlines(), start=1):
            named += [(name, f"{file}, line {number}") for name in line.partition("#")[0].split()]
    for name, where in named:
        if not _SYSTEM_PACKAGE.fullmatch(name):
            raise InvalidEnvironment(
                f"{where}: '{shortened(name)}' is not the name of a Debian package."
            )
    return tuple(sorted({name for name, _ in named}))
