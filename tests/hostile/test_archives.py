"""Files of images of another person."""

from __future__ import annotations

import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend.errors import InvalidInput
from container_backend.image import archive
from tests.support.client import client_of
from tests.support.on_engine import remove_images
from tests.support.worker import BASE

if TYPE_CHECKING:
    from pathlib import Path


def test_an_archive_replaces_no_image_of_another_name(project, engine, tmp_path: Path, monkeypatch):
    """All builds may begin with that image."""
    images = client_of(engine).images
    name = f"container-backend-test/mine:{uuid.uuid4().hex}"
    ours = container_backend.build(project("name: x\n"))
    images.get(ours).tag(name)
    file = tmp_path / "images.tar"
    subprocess.run(["docker", "save", "-o", file, name], check=True)
    images.get(BASE).tag(name)
    try:
        with pytest.raises(InvalidInput, match=f"name '{name}', and the engine has another"):
            archive.load_images(engine, file)
        assert images.get(name).id == images.get(BASE).id
        monkeypatch.setattr(archive, "_refuse_others", lambda *_: None)
        archive.load_images(engine, file)
        assert images.get(name).id == images.get(ours).id
    finally:
        remove_images(engine, name)
