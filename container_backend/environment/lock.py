"""The lock of a project (``requirements.lock`` or ``pylock.toml``), and the lock of an image.

``pylock.toml``: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from container_backend.environment.declared import Declared
from container_backend.environment.local_packages import OUTSIDE
from container_backend.environment.pyproject import MOST_LOCK_BYTES, parse_toml
from container_backend.environment.requirements import lines_of, parse_requirement
from container_backend.environment.spec import spec_of
from container_backend.errors import InvalidEnvironment
from container_backend.labels_and_tags import ENVIRONMENT_DIRECTORY
from container_backend.machine import named_path, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.environment.spec import EnvironmentSpec
    from container_backend.privileges import Permissions

LOCK: Final = "requirements.lock"
PYLOCK: Final = "pylock.toml"
# The path in an environment image, and in the build stage that makes the lock.
LOCK_IN_IMAGE: Final = f"{ENVIRONMENT_DIRECTORY}/{LOCK}"
LOCK_IN_STAGE: Final = f"/wheels/{LOCK}"
LOCK_STAGE: Final = "wheels"
_LAYER: Final = re.compile(r"# layer: (\w+)")
_FROM_OUTSIDE: Final = re.compile(rf"^\./{re.escape(OUTSIDE)}/(\d+)(?=/|$)", re.MULTILINE)


def find_lock(root: Path, named: str | None) -> Path | None:
    """Find the lock of a project; ``named`` is the key ``lock`` of the backend config.

    Raises:
        InvalidEnvironment: The named file is missing.
    """
    if named:
        where = "The backend config, key 'lock'"
        file = named_path(named, root, InvalidEnvironment, where)
        if not file.is_file():
            raise InvalidEnvironment(f"{where}: there is no file '{file}'.")
        return file
    return next((root / name for name in (LOCK, PYLOCK) if (root / name).is_file()), None)


def with_lock(
    spec: EnvironmentSpec, file: Path, root: Path, permissions: Permissions
) -> EnvironmentSpec:
    """Replace the declared requirements of an environment by those of a lock.

    Raises:
        InvalidEnvironment: The lock cannot be read, or lacks a declared requirement.
    """
    text = read_text(file, InvalidEnvironment, MOST_LOCK_BYTES)
    if file.suffix == ".toml":
        _refuse_missing(file, spec, _versions_of_pylock(file, text))
        return replace(
            spec,
            requirements=(),
            constraints=(),
            lock=PYLOCK,
            lock_text="\n".join(text.splitlines()),
        )
    locked = spec_of(Declared(tuple(lines_of(file, text))), root, permissions)
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
    """Name → version; None for a package without a version, such as a folder."""
    packages = parse_toml(file, text).get("packages", [])
    try:
        return {canonicalize_name(package["name"]): package.get("version") for package in packages}
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidEnvironment(f"{file}: not a pylock.toml: {error}.") from error


def _versions(lines: tuple[str, ...]) -> dict[str, str | None]:
    """Name → version; the address of a package in the project, which has no name in a lock → None."""
    found: dict[str, str | None] = {}
    for line in lines:
        parsed = parse_requirement(line)
        if parsed is None:
            found[line] = None
            continue
        exact = [spec.version for spec in parsed.specifier if spec.operator in {"==", "==="}]
        found[canonicalize_name(parsed.name)] = exact[0] if exact else None
    return found


def _refuse_missing(file: Path, spec: EnvironmentSpec, locked: dict[str, str | None]) -> None:
    """Raise for a requirement that is newer than the lock: it would silently be left out."""
    for line in spec.requirements:
        wanted = parse_requirement(line)
        if wanted is None or wanted.marker is not None:
            continue  # only the build can evaluate a marker
        if wanted.url in locked:
            continue
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


@dataclass(frozen=True)
class Lock:
    """The exact content of an environment.

    Attributes:
        text: A requirements file with hashes.
        layers: Layer → its packages, as ``NAME==VERSION`` or ``NAME @ ADDRESS``.
    """

    text: str
    layers: dict[str, list[str]]

    @property
    def digest(self) -> str:
        """``sha256:…`` of the text."""
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"

    @property
    def packages(self) -> list[str]:
        """The packages of all layers."""
        return [package for packages in self.layers.values() for package in packages]


def for_project(lock: Lock) -> Lock:
    """The lock of an image for the project's folder: ``./.outside/1/lib`` of a build is ``../lib`` there."""
    text = _FROM_OUTSIDE.sub(lambda match: "/".join([".."] * int(match[1])), lock.text)
    return replace(lock, text=text)


def read_lock(text: str) -> Lock:
    """Read the lock of an image; a lock of an older version names no layers."""
    layers: dict[str, list[str]] = {}
    layer = ""
    for line in text.splitlines():
        if match := _LAYER.match(line):
            layer = match[1]
        elif line and line[0] not in "# \t":
            layers.setdefault(layer, []).append(line.removesuffix("\\").split(" ; ")[0].strip())
    return Lock(text, layers)
