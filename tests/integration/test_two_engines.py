"""One lock and one base, two engines: what is installed is the same, byte by byte."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import uuid
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import container as containers
from container_backend import names
from tests.integration.conftest import BASE, environment_images, run_command
from tests.integration.engines import OwnEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine


@pytest.fixture
def base(engine) -> Iterator[str]:
    """The base by a name without repository digest, which saving and loading an image loses."""
    name = f"container-backend-test/base:{uuid.uuid4().hex}"
    engine.client.images.get(BASE).tag(name)
    before = environment_images(engine)
    yield name
    for image in environment_images(engine) - before:
        engine.client.images.remove(image, force=True)
    engine.client.images.remove(name)


def installed(engine: Engine, image: str) -> dict[str, tuple[int, str]]:
    """Path → mode and sha256 of each file below the environment."""
    created = engine.client.api.create_container(image, ["true"])
    try:
        chunks, _ = engine.client.api.get_archive(created["Id"], "/mlflow/environment")
        with tempfile.TemporaryFile() as packed:
            packed.writelines(chunks)
            packed.seek(0)
            with tarfile.open(fileobj=packed) as tar:
                return {
                    entry.name: (
                        entry.mode,
                        hashlib.sha256(tar.extractfile(entry).read()).hexdigest(),
                    )
                    for entry in tar
                    if entry.isfile()
                }
    finally:
        containers.remove(engine, created["Id"])


def test_two_engines_install_the_same_files(project, engine, base, monkeypatch):
    folder = project(requirements__txt="numpy\ntabulate\nsix\nclick\n")
    run_command("container-backend", "lock", folder, check=True)
    config = {"base_image": base}
    reference = container_backend.build(folder, backend_config=config)
    with OwnEngine() as own, own.connected() as second:
        own.take(base, engine)
        monkeypatch.setenv("DOCKER_HOST", own.host)
        assert container_backend.build(folder, backend_config=config) == reference
        first_labels, second_labels = (
            there.client.images.get(reference).labels for there in (engine, second)
        )
        assert names.LABEL_LOCK_DIGEST in first_labels
        assert first_labels == second_labels
        files = installed(engine, reference)
        assert any(path.endswith("/numpy/__pycache__/__init__.cpython-311.pyc") for path in files)
        others = installed(second, reference)
    differing = {path for path in {*files, *others} if files.get(path) != others.get(path)}
    assert differing == set()
