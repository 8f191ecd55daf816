"""Images in a file: from one engine to another that has no registry and no index."""

from __future__ import annotations

import json
import logging
import os
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine import labels_in
from container_backend.errors import (
    EngineError,
    ImageUnavailable,
    InvalidConfig,
    InvalidInput,
    NotThere,
)
from container_backend.image.facts import kind_of_image
from container_backend.image.progress import hint_for_refusal
from container_backend.image.prune import note_image
from container_backend.machine import hash_in, human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.engine import Engine

_logger = logging.getLogger(__package__)
# https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format
_MANIFEST: Final = "manifest.json"
_MOST_JSON_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class ArchivedImage:
    """An image in a file.

    Attributes:
        names: Its references.
        kind: ``project`` or ``environment``; empty for one of neither.
        id: The digest of its configuration.
    """

    names: tuple[str, ...]
    kind: str
    id: str = ""


def check_output(path: Path) -> None:
    """Make sure that a file can be written, before anything is built.

    Raises:
        InvalidConfig: It cannot.
    """
    if path.is_dir():
        raise InvalidConfig(f"'{path}' is a folder; the name of a file is needed.")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            return
    except FileNotFoundError as error:
        raise InvalidConfig(
            f"The file '{path}' cannot be written: there is no folder '{path.parent}'."
        ) from error
    except OSError as error:
        raise InvalidConfig(f"The file '{path}' cannot be written: {error.strerror}.") from error


def save_images(engine: Engine, references: Sequence[str], path: Path) -> None:
    """Write images to a file, which is there when all of it is.

    Layers that they share are in it once.

    Raises:
        InvalidConfig: The file cannot be written.
        ImageUnavailable: The engine cannot give them.
    """
    _logger.info("=== Saving %s to %s ===", " and ".join(references), path)
    temporary: str | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = file.name
            size = sum(map(file.write, engine.images.save(references)))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InvalidConfig(
                f"The file '{path}' cannot be written: {error.strerror or error}."
            ) from error
        if isinstance(error, EngineError):
            raise _refusal(f"save {' and '.join(references)}", error.message) from error
        raise
    _logger.info("=== Saved %s ===", human_size(size))


def load_images(engine: Engine, path: Path) -> list[ArchivedImage]:
    """Have an engine take the images of a file, once it is clear that they are ours and whole.

    Raises:
        InvalidInput: The file cannot be read, is no such archive, or no image in it is ours.
        ImageUnavailable: The engine does not take it.
    """
    found = read_archive(path)
    _refuse_others(engine, path, found)
    _logger.info("=== Loading %s (%s) ===", path, human_size(path.stat().st_size))
    try:
        with path.open("rb") as file:
            for answer in engine.images.load(file):
                if "error" in answer:
                    raise _refusal(f"load '{path}'", str(answer["error"]))
    except OSError as error:
        raise _unreadable(path, error) from error
    except EngineError as error:
        raise _refusal(f"load '{path}'", error.message) from error
    _note(engine, found)
    return found


def _refuse_others(engine: Engine, path: Path, images: Sequence[ArchivedImage]) -> None:
    """Refuse names of images that were not made here: one may be the base of all builds."""
    for image, name in [(each, name) for each in images for name in each.names]:
        with suppress(NotThere):
            there = engine.images.inspect(name)
            if not kind_of_image(labels_in(there)) and there["Id"] != image.id:
                raise InvalidInput(
                    f"The file '{path}' has an image of the name '{name}', and the engine has another, "
                    "which is not of container-backend.",
                    remedy=f"If you want that of the file: docker rmi {name}.",
                )


def _note(engine: Engine, images: Sequence[ArchivedImage]) -> None:
    """Note the environment images: to load a file is to trust what is in it."""
    for image in images:
        for reference in image.names:
            with suppress(NotThere):
                inspected = engine.images.inspect(reference)
                if environment_hash := hash_in(labels_in(inspected)):
                    note_image(engine.host, environment_hash, str(inspected["Id"]))


def _refusal(what: str, said: str) -> ImageUnavailable:
    return ImageUnavailable(f"The engine cannot {what}: {said}", remedy=hint_for_refusal(said))


def _unreadable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"The file '{path}' cannot be read: {error.strerror or error}.")


def read_archive(path: Path) -> list[ArchivedImage]:
    """The images of a file.

    Raises:
        InvalidInput: The file cannot be read, is no such archive, or no image in it is ours.
    """
    try:
        with tarfile.open(path) as archive:
            entries = {member.name: member for member in archive}  # to the end: all of it is there
            manifest = _json(archive, entries, _MANIFEST)
            found = [_archived(archive, entries, image) for image in manifest]
    except OSError as error:
        raise _unreadable(path, error) from error
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"The file '{path}' is not an archive of images, or not all of it: {error}.",
            remedy="Make one with `container-backend build URI -t NAME --save FILE.tar`.",
        ) from error
    if not any(image.kind for image in found):
        named = ", ".join(name for image in found for name in image.names) or "no image"
        raise InvalidInput(
            f"The file '{path}' has no image that was made by container-backend: it has {named}.",
            remedy="Load others with `docker load`.",
        )
    return found


def _archived(
    archive: tarfile.TarFile, entries: dict[str, tarfile.TarInfo], image: dict[str, Any]
) -> ArchivedImage:
    missing = [layer for layer in image["Layers"] if layer not in entries]
    if missing:
        raise ValueError(f"the layer {missing[0]} is missing")
    config = _json(archive, entries, image["Config"])
    labels = (config.get("config") or {}).get("Labels") or {}
    # `DIGITS.json`, or `blobs/sha256/DIGITS`.
    id_ = f"sha256:{PurePosixPath(image['Config']).name.partition('.')[0]}"
    return ArchivedImage(tuple(image.get("RepoTags") or ()), kind_of_image(labels), id_)


def _json(archive: tarfile.TarFile, entries: dict[str, tarfile.TarInfo], name: str) -> Any:  # noqa: ANN401
    if name not in entries:
        raise ValueError(f"there is no {name} in it")
    if entries[name].size > _MOST_JSON_BYTES:
        raise ValueError(f"{name} is too big")
    file = archive.extractfile(entries[name])
    if file is None:
        raise ValueError(f"{name} is not a file")
    return json.loads(file.read())


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
