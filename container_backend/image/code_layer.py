"""Adds code to an image as a layer; equal files make an equal layer.

All images with code are made here: those of ``build -t``, of ``--build-image``, and those that equal
runs share. An engine loads a tar as a layer, byte for byte, from an image archive
(``POST /images/load``). The archive may lack layers that the engine has:
https://github.com/moby/moby/blob/v20.10.24/image/tarexport/load.go. An engine that keeps images in
containerd needs all layers in the archive, so there BuildKit unpacks the tar.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine import CONTAINERD, with_tag
from container_backend.errors import (
    BuildError,
    EngineError,
    EngineUnavailable,
    InvalidProject,
    NotThere,
    Refused,
)
from container_backend.image.progress import hint_for_refusal
from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    OCI,
    TEMPORARY_PREFIX,
    UNFINISHED_REPOSITORY,
)
from container_backend.machine import hash_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from container_backend.engine import Engine
    from container_backend.project import CodeArchive, TarPart

_CONFIG: Final = "config.json"
# Instructions that always make a layer, even an empty one.
_STEPS_WITH_LAYER: Final = ("ADD ", "COPY ", "RUN ", "WORKDIR ")


def add_layers(
    engine: Engine, image: str, layers: Sequence[TarPart], name: str, labels: Mapping[str, str]
) -> str:
    """Add layers to an image and return the id of the result; programs start in the code's folder.

    If the engine has the result under that name, nothing is made.

    Args:
        image: The lower image; the caller protects it from removal.
        layers: From the lowest to the highest.
        name: Of the result. The result gets its name last.
        labels: Added to the labels of the lower image.

    Raises:
        NotThere: The lower image is missing.
        EngineError: The engine refuses, or does not answer.
        OSError: A layer cannot be packed.
    """
    name = with_tag(name)
    inspected = engine.images.inspect(image)
    if (inspected.get("Config") or {}).get("OnBuild"):
        raise Refused("the image has ONBUILD instructions, which only a Dockerfile can run")
    if engine.facts.image_store == CONTAINERD:
        return _build(engine, inspected, layers, name, labels)
    return _load(engine, inspected, layers, name, labels)


def build_on(
    engine: Engine, image: str, code: CodeArchive, name: str, labels: Mapping[str, str], what: str
) -> str:
    """As :func:`add_layers`, with the code alone.

    Args:
        what: What is built, for messages.

    Raises:
        InvalidProject: A file of the project cannot be in an image.
        BuildError: The image could not be built.
    """
    if code.whiteout:
        raise InvalidProject(
            f"The project's file '{code.whiteout}' cannot be in an image: by its name, an engine "
            "would delete another file.",
            remedy="Rename it, or name it in .dockerignore.",
        )
    try:
        return add_layers(engine, image, [code.code], name, labels)
    except (EngineError, OSError) as error:
        said = error.message if isinstance(error, EngineError) else str(error)
        raise BuildError(
            f"The {what} could not be built: {said}", remedy=hint_for_refusal(said)
        ) from error


def _load(
    engine: Engine,
    inspected: Mapping[str, Any],
    layers: Sequence[TarPart],
    name: str,
    labels: Mapping[str, str],
) -> str:
    below = list(inspected["RootFS"]["Layers"])
    above = [layer.digest for layer in layers]
    program = _program(inspected, labels)
    if (existing := _existing(engine, name, [*below, *above], program)) is not None:
        return existing
    config = json.dumps(_config(engine, inspected, [*below, *above], program)).encode()
    files = [f"{digest.partition(':')[2]}.tar" for digest in [*below, *above]]
    manifest = json.dumps([{"Config": _CONFIG, "RepoTags": [name], "Layers": files}]).encode()
    from container_backend.image.buildkit import stream_tar

    pieces = stream_tar(
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
            engine.images.inspect(str(inspected["Id"]))  # raises NotThere if the image is gone
            raise Refused(str(answer["error"]))
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def _program(inspected: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """What the engine says of programs in the result, as ``Config``."""
    own = inspected.get("Config") or {}
    merged = {**(own.get("Labels") or {}), **labels}
    return {**own, "Labels": merged or None, "WorkingDir": CODE_DIRECTORY}


def _existing(
    engine: Engine, name: str, layers: list[str], program: Mapping[str, Any]
) -> str | None:
    """The id of the image with that name if it is the result already."""
    try:
        found = engine.images.inspect(name)
    except NotThere:
        return None
    is_equal = found["RootFS"]["Layers"] == layers and _timeless(found["Config"]) == _timeless(
        program
    )
    return str(found["Id"]) if is_equal else None


def _timeless(program: Mapping[str, Any]) -> dict[str, Any]:
    labels = dict(program.get("Labels") or {})
    labels.pop(f"{OCI}created", None)
    return {**program, "Labels": labels}


def _config(
    engine: Engine, inspected: Mapping[str, Any], layers: list[str], program: Mapping[str, Any]
) -> dict[str, Any]:
    """https://github.com/moby/docker-image-spec/blob/main/spec.md#image-json-description."""
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
        "config": program,
        "rootfs": {"type": "layers", "diff_ids": layers},
        "history": history,
    }


def history_of(told: Sequence[Mapping[str, Any]], layers: int) -> list[dict[str, Any]]:
    """The history for the configuration of an image; empty if the steps with layers are unclear. Pure.

    Args:
        told: The answer of ``/history``: last step first, without a word of which made layers.
        layers: The number of layers.
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


class _Reader:
    """Lets the SDK read an iterator as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int = -1, /) -> bytes:
        """The next piece; empty at the end."""
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
            engine.images.inspect(base)  # raises NotThere if the image is gone
            is_lost = isinstance(error.__cause__, (EngineUnavailable, OSError))
            raise (EngineUnavailable if is_lost else Refused)(error.message) from error


@contextmanager
def unfinished_name(engine: Engine) -> Iterator[str]:
    """A name for an image that is removed at the end of the context."""
    name = f"{UNFINISHED_REPOSITORY}:{uuid.uuid4().hex}"
    try:
        yield name
    finally:
        with suppress(EngineError):
            engine.images.remove(name, prune=False)


@contextmanager
def temporary_name(engine: Engine, image: str) -> Iterator[str]:
    """A name for an image during a build on it: BuildKit knows no ids, and other names may move."""
    with unfinished_name(engine) as name:
        engine.images.tag(image, name)
        yield name
