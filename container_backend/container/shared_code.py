"""Equal runs share their code: code that is sent a second time becomes a layer on the image.

An engine needs a process to unpack an archive for each run. When a second run needs the same files
on the same image, they are stored once, in a small image (``image/code_layer.py``) that later runs
share. The supervisor removes the image when no run needs it. No run relies on the image: if it is
missing, the code is sent.

A program can do the same with files that were sent and files that are shared. A folder of an image
cannot be renamed, so the code of a project with folders is always sent (``EXDEV``,
https://docs.kernel.org/filesystems/overlayfs.html#renaming-directories).
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import EngineError, NotThere, Refused
from container_backend.image import remove_unless_in_use
from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    CODE_REPOSITORY,
    ENV_OWNER,
    LABEL_OF_ENVIRONMENT,
    LABEL_SHARED_CODE,
    NO_LABELS,
)
from container_backend.machine import FileLock, make_private, owner_id, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from container_backend.container.spec import ContainerSpec
    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage
    from container_backend.project import CodeArchive

_logger = logging.getLogger(__package__)
# More than that is data, which would be on the engine's disk once more.
MOST_BYTES: Final = 64 * 1024 * 1024
# Digits of the digest in the image's name: no two archives may ever have the same.
_DIGITS: Final = 24
# The folder that all of the archive is in.
_ROOT: Final = PurePosixPath(CODE_DIRECTORY).parents[-2]
# The content of the note: the archive was sent once; the engine refused; else the id of the image.
_SENT, _NEVER = "sent", "never"
_LOCK: Final = ".lock"


class SharedCode:
    """The image of a run with its code on top; the image may be missing."""

    def __init__(
        self, engine: Engine, image: EnvironmentImage, code: CodeArchive, folder: Path
    ) -> None:
        """Ask nothing yet; ``folder`` has this user's notes about the engine's shared code."""
        self._engine, self._image, self._code = engine, image, code
        layers = "\0".join(layer.digest for layer in code.layers)
        key = hashlib.sha256(f"{owner_id()}\0{image.id}\0{layers}".encode())
        self._key = key.hexdigest()[:_DIGITS]
        self._file = folder / self._key

    def create_container(self, arguments: Mapping[str, Any]) -> str | None:
        """Create a container from the image and return its id; None if the image is missing.

        Args:
            arguments: Those of :meth:`Containers.create`, without the image.

        Raises:
            EngineError: The engine refuses, or does not answer.
        """
        if not (image := self.find()):
            return None
        try:
            return self._engine.containers.create(image, **arguments)
        except NotThere:  # another process removed it
            with suppress(OSError):
                self._file.unlink()
            return None

    def find(self) -> str:
        """The id of the image, which is built if the code was sent before; else empty.

        Another process may remove the image at any time, or give its name to another image.
        """
        said = _read(self._file)
        image = _made_in(said) or (self._make_alone() if said == _SENT else "")
        if image:
            with suppress(OSError):
                os.utime(self._file)
        return image

    def was_sent(self) -> None:
        """Note that the archive was sent, unless another process has made the image."""
        if not _read(self._file):
            _write(self._file, _SENT)

    def _make_alone(self) -> str:
        """Make the image, unless another process is doing so; returns its id, or nothing."""
        with FileLock(
            self._file.with_suffix(_LOCK), "another process that makes this image"
        ) as lock:
            if not lock.try_to_own():
                return ""
            if (said := _read(self._file)) != _SENT:
                return _made_in(said)
            try:
                image = self._make()
            except (EngineError, OSError) as error:
                _logger.debug("The code is not shared: %s", error)
                if isinstance(error, Refused):
                    _write(self._file, _NEVER)
                return ""
            _write(self._file, image)
            return image

    def _make(self) -> str:
        """Build the image, without variables and labels of a run, and return its id.

        Raises:
            Refused: The engine refuses, or the image has a volume where the code goes.
            EngineUnavailable: The engine does not answer.
        """
        from container_backend.image import add_layers  # a supervisor makes none

        config = self._engine.images.inspect(self._image.id).get("Config") or {}
        if overlaps(config.get("Volumes") or ()):
            raise Refused("the image has a volume where the code goes")
        labels = {
            **NO_LABELS,
            LABEL_SHARED_CODE: owner_id(),
            LABEL_OF_ENVIRONMENT: self._image.hash,
        }
        name = f"{CODE_REPOSITORY}:{self._key}"
        return add_layers(self._engine, self._image.id, self._code.layers, name, labels)


def _made_in(note: str) -> str:
    """The id of the image in a note; empty for a note without one."""
    return note if note.startswith("sha256:") else ""


def find_shared_code(
    engine: Engine,
    spec: ContainerSpec,
    image: EnvironmentImage,
    code: CodeArchive,
    folder: Path,
    *,
    has_folders: bool,
    environ: Mapping[str, str] = os.environ,
) -> SharedCode | None:
    """The shared code of a run; None if the code must be sent.

    Args:
        folder: Has this user's notes about the engine's shared code.
        has_folders: The project has folders.
        environ: Of this process. In a container, no supervisor removes the image.
    """
    if has_folders or code.whiteout or code.size > MOST_BYTES or overlaps(_mounted(spec)):
        return None
    if spec.directory in spec.volumes.values():  # which gets the code
        return None
    if engine.facts.is_podman or spec.args.platform or environ.get(ENV_OWNER):
        return None
    return SharedCode(engine, image, code, folder)


def _mounted(spec: ContainerSpec) -> Iterable[str]:
    """The caller's mount targets. Stores cannot be mounted over the container's own folders."""
    yield from (bind.split(":")[1] for bind in spec.args.binds)
    yield from spec.args.host_config.get("tmpfs") or ()
    yield from (str(mount["Target"]) for mount in spec.args.host_config.get("mounts") or ())


def overlaps(folders: Iterable[str]) -> bool:
    """True if a mount at one of these folders would hide the code or a part of it."""
    paths = [PurePosixPath(folder) for folder in folders]
    return any(path.is_relative_to(_ROOT) or _ROOT.is_relative_to(path) for path in paths)


def remove_shared_code(engine: Engine, folder: Path, unused_for: float = 0.0) -> None:
    """Remove the images that no container needs.

    Args:
        folder: Has this user's notes about the engine's shared code.
        unused_for: Seconds; keep images that a run has used since then.

    Raises:
        EngineError: The engine refuses, or does not answer.
    """
    now = time.time()
    with suppress(OSError):
        for file in folder.iterdir():  # no process relies on such an image from here on
            if now - file.stat().st_mtime >= unused_for:
                file.unlink()
    label = f"{LABEL_SHARED_CODE}={owner_id()}"
    for image in engine.images.find(label):
        keys = [str(name).rpartition(":")[2] for name in image.get("RepoTags") or ()]
        if not any((folder / key).exists() for key in keys):
            remove_unless_in_use(engine, image["Id"])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""


def _write(file: Path, said: str) -> None:
    try:
        make_private(file.parent)
        write_whole(file, said)
    except OSError as error:
        _logger.debug("No note on shared code at %s: %s", file, error)
