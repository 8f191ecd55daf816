"""What this worker has on an engine: containers, environment images, all bytes of an image."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.errors import NotThere
from tests.support.client import client_of
from tests.support.worker import BASE, mine

if TYPE_CHECKING:
    from container_backend.engine import Engine

__all__ = [
    "BASE",
    "all_containers",
    "containers_of",
    "environment_images",
    "everything",
    "remove_environment_images",
    "remove_images",
]


def containers_of(engine: Engine, run_id: str) -> list[object]:
    # The SDK asks for each of them once more; one that is gone by then is not there.
    return client_of(engine).containers.list(
        all=True, filters={"label": f"{labels_and_tags.LABEL_RUN_ID}={run_id}"}, ignore_removed=True
    )


def all_containers(engine: Engine) -> set[str]:
    return {found["Id"] for found in client_of(engine).api.containers(all=True, filters=mine())}


def environment_images(engine: Engine) -> set[str]:
    """Those that share code are left out: they come and go by themselves."""
    found = _images(engine, labels_and_tags.LABEL_ENVIRONMENT_HASH)
    return {
        image["Id"] for image in found if labels_and_tags.LABEL_SHARED_CODE not in image["Labels"]
    }


def remove_environment_images(engine: Engine, images: set[str]) -> None:
    """First those that share code, which may be made of them; supervisors remove those, too."""
    shared = [image["Id"] for image in _images(engine, labels_and_tags.LABEL_SHARED_CODE)]
    remove_images(engine, *shared, *images)


def remove_images(engine: Engine, *images: str) -> None:
    """Each by its name or id, with all names of an id; one that another process removes is gone."""
    for image in images:
        with contextlib.suppress(NotThere):
            engine.images.remove(image, force=True)


def _images(engine: Engine, label: str) -> list[dict[str, object]]:
    return client_of(engine).api.images(filters=mine(label))


def everything(engine, image: str) -> bytes:
    """All bytes of an image: its layers, its configuration, its history."""
    exported = io.BytesIO(b"".join(client_of(engine).images.get(image).save(chunk_size=2**20)))
    found = [json.dumps(client_of(engine).api.inspect_image(image)).encode()]
    found.append(json.dumps(client_of(engine).api.history(image)).encode())
    with tarfile.open(fileobj=exported) as outer:
        for member in outer:
            content = outer.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            data = content.read()
            if member.name.endswith("layer.tar"):
                with tarfile.open(fileobj=io.BytesIO(data)) as layer:
                    found += [entry.name.encode() for entry in layer]
            found.append(data)
    return b"\n".join(found)
