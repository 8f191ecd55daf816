"""A lock that a project brings along: ``requirements.lock`` or ``pylock.toml``, used as it is.

``pylock.toml`` is described at https://packaging.python.org/en/latest/specifications/pylock-toml/.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from container_backend.errors import InvalidEnvironment
from container_backend.lock import LOCK
from container_backend.requirements import lines_of
from container_backend.spec import EnvironmentSpec, specify
from container_backend.yaml_file import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

PYLOCK: Final = "pylock.toml"
# A lock of a thousand packages has three megabytes.
_MOST_BYTES: Final = 32 * 1024 * 1024


def find_lock(root: Path, named: str | None) -> Path | None:
    """The lock of a project: the one that the backend config names, or the one that lies there.

    Args:
        root: The project's folder; names are relative to it.
        named: The key ``lock`` of the backend config.

    Raises:
        InvalidEnvironment: The one that is named is not there.
    """
    if named:
        file = (root / named).resolve()
        if not file.is_file():
            raise InvalidEnvironment(f"The backend config, key 'lock': there is no file '{file}'.")
        return file
    return next((root / name for name in (LOCK, PYLOCK) if (root / name).is_file()), None)


def with_lock(spec: EnvironmentSpec, file: Path, root: Path) -> EnvironmentSpec:
    """The environment with what a lock says instead of what is declared.

    Raises:
        InvalidEnvironment: The lock cannot be read, or something that is declared is not in it.
    """
    text = read_text(file, InvalidEnvironment, _MOST_BYTES)
    if file.suffix == ".toml":
        _refuse_missing(file, spec, _versions_of_pylock(file, text))
        return replace(
            spec,
            requirements=(),
            constraints=(),
            lock=PYLOCK,
            lock_text="\n".join(text.splitlines()),
        )
    locked = specify(root, list(lines_of(file, text)))
    _refuse_missing(file, spec, _versions(locked.requirements))
    return replace(
        spec,
        requirements=locked.requirements,
        constraints=(),
        files={**spec.files, **locked.files},
        indexes=replace(
            locked.indexes,
            default=spec.indexes.default or locked.indexes.default,
            extra=tuple(dict.fromkeys(spec.indexes.extra + locked.indexes.extra)),
            logins=spec.indexes.logins + locked.indexes.logins,
        ),
        lock=LOCK,
    )


def _versions_of_pylock(file: Path, text: str) -> dict[str, str | None]:
    """Name → version; None where it has none, as a folder has not."""
    try:
        packages = tomllib.loads(text).get("packages", [])
        return {canonicalize_name(package["name"]): package.get("version") for package in packages}
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InvalidEnvironment(f"{file}: not a pylock.toml: {error}.") from error


def _versions(lines: tuple[str, ...]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for line in lines:
        try:
            parsed = Requirement(line.split(" --")[0])
        except InvalidRequirement:
            continue  # an address or an option
        exact = [spec.version for spec in parsed.specifier if spec.operator in {"==", "==="}]
        found[canonicalize_name(parsed.name)] = exact[0] if exact else None
    return found


def _refuse_missing(file: Path, spec: EnvironmentSpec, locked: dict[str, str | None]) -> None:
    """What was declared after the lock was made would be left out without a word."""
    for line in spec.requirements:
        try:
            wanted = Requirement(line.split(" --")[0])
        except InvalidRequirement:
            continue
        if wanted.marker is not None:
            continue  # whether it counts is found out in the image
        name = canonicalize_name(wanted.name)
        version = locked.get(name)
        try:
            fits = name in locked and (
                version is None or wanted.specifier.contains(version, prereleases=True)
            )
        except InvalidVersion:
            fits = True
        if not fits:
            found = f"it has {version}" if name in locked else "it is not in it"
            raise InvalidEnvironment(
                f"{file}: '{wanted}' is declared, but {found}.",
                remedy="Make the lock again, or remove it.",
            )
