"""Code on top of an image: the same files make the same layer, whoever asks for it.

All images with code in them are made here: those of ``build -t`` and ``--build-image``, and those
that equal runs share. An engine takes a tar as a layer, to the byte, in an archive of an image
(``POST /images/load``); layers that the engine has need not be in the archive:
https://github.com/moby/moby/blob/v20.10.24/image/tarexport/load.go. An engine that keeps its images
in containerd wants them all, so there BuildKit unpacks the tar.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine import CONTAINERD
from container_backend.errors import EngineError, Refused
from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    TEMPORARY_PREFIX,
    UNFINISHED_REPOSITORY,
)
from container_backend.machine import hash_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from container_backend.engine import Engine
    from container_backend.project import TarPart

_CONFIG: Final = "config.json"
# Of the steps of a build, those that make a layer, be it an empty one.
_STEPS_WITH_LAYER: Final = ("ADD ", "COPY ", "RUN ", "WORKDIR ")


def add_layers(
    engine: Engine, image: str, layers: Sequence[TarPart], name: str, labels: Mapping[str, str]
) -> str:
    """Make an image of another one and layers on top of it. Its programs start in the code's folder.

    Args:
        image: On that engine, which no process removes meanwhile.
        layers: From the lowest to the highest.
        name: For the new image, once all of it is there.
        labels: For the new image, beside those of the other one.

    Returns:
        Its id.

    Raises:
        NotThere: The other image is missing.
        EngineError: The engine refuses, or does not answer.
        OSError: A layer cannot be read.
    """
    inspected = engine.images.inspect(image)
    if engine.facts.image_store == CONTAINERD:
        return _build(engine, inspected, layers, name, labels)
    return _load(engine, inspected, layers, name, labels)


def _load(
    engine: Engine,
    inspected: Mapping[str, Any],
    layers: Sequence[TarPart],
    name: str,
    labels: Mapping[str, str],
) -> str:
    below = list(inspected["RootFS"]["Layers"])
    above = [layer.digest() for layer in layers]
    config = json.dumps(_config(engine, inspected, [*below, *above], labels)).encode()
    files = [f"{digest.partition(':')[2]}.tar" for digest in [*below, *above]]
    manifest = json.dumps([{"Config": _CONFIG, "RepoTags": [name], "Layers": files}]).encode()
    pieces = _archive(
        [
            (_CONFIG, len(config), [config]),
            ("manifest.json", len(manifest), [manifest]),
            *(
                (file, layer.size, layer.pieces())
                for file, layer in zip(files[len(below) :], layers, strict=True)
            ),
        ]
    )
    for answer in engine.images.load(_Reader(pieces)):
        if "error" in answer:
            engine.images.inspect(str(inspected["Id"]))  # where that is gone, it says so instead
            raise Refused(str(answer["error"]))
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def _config(
    engine: Engine, inspected: Mapping[str, Any], layers: list[str], labels: Mapping[str, str]
) -> dict[str, Any]:
    """https://github.com/moby/docker-image-spec/blob/main/spec.md#image-json-description."""
    own = inspected.get("Config") or {}
    now = time.time()
    below = len(inspected["RootFS"]["Layers"])
    if history := history_of(engine.images.history(str(inspected["Id"])), below):
        step = {"created": _moment(now), "created_by": f"ADD code {CODE_DIRECTORY}"}
        history += [step] * (len(layers) - below)
    return {
        "architecture": inspected["Architecture"],
        "os": inspected["Os"],
        **({"variant": inspected["Variant"]} if inspected.get("Variant") else {}),
        "created": _moment(now),
        "config": {
            **own,
            "Labels": {**(own.get("Labels") or {}), **labels},
            "WorkingDir": CODE_DIRECTORY,
        },
        "rootfs": {"type": "layers", "diff_ids": layers},
        "history": history,
    }


def history_of(told: Sequence[Mapping[str, Any]], layers: int) -> list[dict[str, Any]]:
    """The history of an image as it is in its configuration. Pure.

    Args:
        told: What the engine says: the last step first, and not whether a step made a layer.
        layers: How many there are.

    Returns:
        The steps; none where it is not clear which of them made a layer.
    """
    steps = [
        {
            "created": _moment(step["Created"]),
            "created_by": step["CreatedBy"],
            "comment": step["Comment"],
            "empty_layer": not step["Size"] and not step["CreatedBy"].startswith(_STEPS_WITH_LAYER),
        }
        for step in reversed(told)
    ]
    return steps if sum(not step["empty_layer"] for step in steps) == layers else []


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def _archive(files: Iterable[tuple[str, int, Iterable[bytes]]]) -> Iterator[bytes]:
    """A tar, piece by piece: it is never in memory whole."""
    for path, size, pieces in files:
        entry = tarfile.TarInfo(path)
        entry.size = size
        yield entry.tobuf(tarfile.PAX_FORMAT)
        yield from pieces
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


class _Reader:
    """Pieces as what is read of a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1, /) -> bytes:
        """The next piece that has something in it; nothing at the end."""
        return next((piece for piece in self._pieces if piece), b"")


def _build(
    engine: Engine,
    inspected: Mapping[str, Any],
    layers: Sequence[TarPart],
    name: str,
    labels: Mapping[str, str],
) -> str:
    from container_backend.image.buildkit import BuildFailed, BuildRequest, build_image

    platform = f"{inspected['Os']}/{inspected['Architecture']}"
    with (
        temporary_name(engine, str(inspected["Id"])) as base,
        tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as folder,
    ):
        files = {}
        for number, layer in enumerate(layers):
            file = Path(folder, f"{number}.tar")
            with file.open("wb") as opened:
                opened.writelines(layer.pieces())
            files[file.name] = hash_file(file)
        steps = [f"FROM {base}", *(f"ADD {file} /" for file in files), f"WORKDIR {CODE_DIRECTORY}"]
        request = BuildRequest(
            context={"Dockerfile": "\n".join([*steps, ""]).encode(), **files},
            tags=(name,),
            labels=labels,
            platform=None if platform == engine.facts.platform else platform,
        )
        try:
            return build_image(engine, request)
        except BuildFailed as error:
            engine.images.inspect(base)  # where that is gone, it says so instead
            raise Refused(error.message) from error


@contextmanager
def temporary_name(engine: Engine, image: str) -> Iterator[str]:
    """A name for an image while it is built on: BuildKit knows no ids, and names may move."""
    name = f"{UNFINISHED_REPOSITORY}:{uuid.uuid4().hex}"
    engine.images.tag(image, name)
    try:
        yield name
    finally:
        with suppress(EngineError):
            engine.images.remove(name, prune=False)
