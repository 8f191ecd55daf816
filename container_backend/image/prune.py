"""The environment images of an engine: listed, chosen, removed; this user's notes about them."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from container_backend.errors import InvalidConfig, NotThere, Refused
from container_backend.labels_and_tags import LABEL_OF_ENVIRONMENT, LABEL_PYTHON, LABEL_SHARED_CODE
from container_backend.machine import FileLock, hash_in, make_private, state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from container_backend.engine import Engine, EngineHost

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class ListedImage:
    """An environment image on an engine.

    Attributes:
        id: ``sha256:…``.
        size: In bytes.
        shared: Bytes in layers that other images have, too.
        created: In seconds since 1970.
        last_used: By a run of this user, in seconds since 1970; None for never.
        projects: Names of the projects whose runs used the image.
        containers: Number of all containers, also of stopped ones and of those with shared code.
    """

    hash: str
    id: str
    names: tuple[str, ...]
    python: str
    size: int
    shared: int
    created: float
    last_used: float | None
    projects: tuple[str, ...]
    containers: int

    @property
    def age_counts_from(self) -> float:
        """The last use, or the creation of an image that was never used."""
        return max(self.created, self.last_used or 0)


def list_images(engine: Engine) -> list[ListedImage]:
    """The environment images of an engine, the last used first."""
    found = []
    images = engine.images.disk_usage()
    sharing = Counter[str]()
    for image in images:
        labels = image.get("Labels") or {}
        if labels.get(LABEL_SHARED_CODE):
            sharing[str(labels.get(LABEL_OF_ENVIRONMENT))] += _containers_of(image)
    for image in images:
        labels = image.get("Labels") or {}
        environment_hash = hash_in(labels)
        if not environment_hash:  # as in images of projects
            continue
        use = use_of(engine.host, environment_hash)
        found.append(
            ListedImage(
                hash=environment_hash,
                id=str(image["Id"]),
                names=tuple(name for name in image.get("RepoTags") or [] if "<none>" not in name),
                python=str(labels.get(LABEL_PYTHON, "")),
                size=int(image["Size"]),
                shared=max(0, int(image.get("SharedSize") or 0)),
                created=_seconds(image["Created"]),
                last_used=use.last,
                projects=use.projects,
                containers=_containers_of(image) + sharing[environment_hash],
            )
        )
    return sorted(found, key=lambda image: -image.age_counts_from)


def _containers_of(image: Mapping[str, Any]) -> int:
    return max(0, int(image.get("Containers") or 0))


def _seconds(created: Any) -> float:  # noqa: ANN401 a number, or a date in newer engines
    if isinstance(created, (int, float)):
        return float(created)
    return datetime.fromisoformat(str(created).replace("Z", "+00:00")).timestamp()


def parse_age(text: str) -> float:
    """``30d``, ``12h``, ``2w`` → seconds; raises InvalidConfig for any other text."""
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    if match is None:
        raise InvalidConfig(f"'{text}' is not an age.", remedy="Write one like 30d, 12h or 2w.")
    return int(match[1]) * float(_UNITS[match[2]])


def choose_unused(
    images: Sequence[ListedImage],
    *,
    older_than: float = 0,
    keep_last: int = 0,
    now: float | None = None,
) -> list[ListedImage]:
    """Choose images to remove: none that has a container. Pure.

    Args:
        older_than: Seconds since the last use.
        keep_last: Keep the N images used last, at any age.
        now: Seconds since 1970.
    """
    now = time.time() if now is None else now
    by_use = sorted(images, key=lambda image: -image.age_counts_from)
    return [
        image
        for image in by_use[keep_last:]
        if image.containers == 0 and now - image.age_counts_from >= older_than
    ]


def remove_image(engine: Engine, image: ListedImage) -> str | None:
    """Remove an image unless a run needs the image; returns the reason why the image stays."""
    with image_lock(engine.host, image.hash) as lock:
        if not lock.try_to_own():
            return "a run is about to use it"
        try:
            _remove_shared_code_of(engine, image.hash)
            for reference in image.names or (image.id,):
                engine.images.remove(reference)
        except NotThere:  # another process removed it
            return None
        except Refused as error:
            return error.message
        forget_use(engine.host, image.hash)
    return None


_logger = logging.getLogger(__package__)
_LOCK: Final = "lock"
_PROJECTS: Final = "projects"
_IDS: Final = "ids"
_HASH: Final = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True)
class Use:
    """The record of an image's use; ``last`` is in seconds since 1970, None for never."""

    projects: tuple[str, ...] = ()
    last: float | None = None


@contextmanager
def image_lock(host: EngineHost, environment_hash: str) -> Iterator[FileLock]:
    """The lock of an image, not yet held: users share it, a builder or remover owns it."""
    file = _folder(host, environment_hash) / _LOCK
    with FileLock(file, "another process that builds or uses this image") as lock:
        yield lock


def record_use(host: EngineHost, environment_hash: str, project: str) -> None:
    """Record that a project uses an image now."""
    file = _folder(host, environment_hash) / _PROJECTS / _file_name(project)
    try:
        make_private(file.parent)
        file.touch(mode=0o600)
    except OSError as error:
        _logger.debug("The use of an image is not on record: %s", error)


# Of an image that was built again and again, earlier ones are gone.
_MOST_NOTED: Final = 10


def _file_name(project: str) -> str:
    """A file name for a project's name, which may have slashes and dots to reach other folders."""
    return re.sub(r"^\.", "%2E", quote(project, safe=" "))


def note_image(host: EngineHost, environment_hash: str, image_id: str) -> None:
    """Note that this user made, pulled or loaded an image: any image may have the label of a hash."""
    file = _folder(host, environment_hash) / _IDS / _file_name(image_id)
    try:
        make_private(file.parent)
        file.touch(mode=0o600)
    except OSError as error:
        _logger.warning("The image %s is not noted, and will be built again: %s", image_id, error)


def is_noted(host: EngineHost, environment_hash: str, image_id: str) -> bool:
    """True if this user made, pulled or loaded an image."""
    return (_folder(host, environment_hash) / _IDS / _file_name(image_id)).exists()


def noted_images(host: EngineHost, environment_hash: str) -> list[str]:
    """The ids of images that this user made, pulled or loaded lately, newest first; some may be gone."""
    folder = _folder(host, environment_hash) / _IDS
    try:
        files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [unquote(file.name) for file in files[:_MOST_NOTED]]


def use_of(host: EngineHost, environment_hash: str) -> Use:
    """The record of an image's use by this user."""
    try:
        files = sorted((_folder(host, environment_hash) / _PROJECTS).iterdir())
        last = max((file.stat().st_mtime for file in files), default=None)
    except OSError:
        return Use()
    return Use(tuple(unquote(file.name) for file in files), last)


def forget_use(host: EngineHost, environment_hash: str) -> None:
    """Remove the record of use. The lock file stays: another process may wait for the lock."""
    folder = _folder(host, environment_hash) / _PROJECTS
    try:
        for file in folder.iterdir():
            file.unlink()
    except OSError as error:
        _logger.debug("The record of an image stays: %s", error)


def _folder(host: EngineHost, environment_hash: str) -> Path:
    if not _HASH.fullmatch(environment_hash):  # labels and tags may have any text
        raise ValueError(f"this is no environment hash: {environment_hash!r}")
    engine = hashlib.sha256(host.url.encode()).hexdigest()[:12]
    return state_folder() / "images" / engine / environment_hash


def _remove_shared_code_of(engine: Engine, environment_hash: str) -> None:
    """Remove the images with shared code of an environment, except those in use."""
    of_environment = f"{LABEL_OF_ENVIRONMENT}={environment_hash}"
    for image in engine.images.find(LABEL_SHARED_CODE, of_environment):
        remove_unless_in_use(engine, image["Id"], prune=False)


def remove_unless_in_use(engine: Engine, image: str, *, prune: bool = True) -> None:
    """Remove an image unless a container needs the image."""
    try:
        engine.images.remove(image, prune=prune)
    except NotThere:
        return
    except Refused as error:
        if not error.is_conflict:
            raise
