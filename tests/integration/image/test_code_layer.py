"""Every way from code to an image makes the same layer of the same code."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from pathlib import Path

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.container import remove_shared_code
from container_backend.container.shared_code import SharedCode
from container_backend.image import ReadyImage, add_code, code_layer, have_image
from container_backend.project import ANYBODY, Owner, archive_code
from container_backend.runs.ledger.ledger import ledger_of
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.engines import OwnEngine
from tests.support.on_engine import BASE, remove_images

pytestmark = pytest.mark.usefixtures("own_state")

MLPROJECT = (
    f"name: layers\ndocker_env: {{image: '{BASE}'}}\nentry_points: {{main: {{command: ls}}}}\n"
)
# What a program sees: mode, owner, size and time.
SEES = [
    "sh",
    "-c",
    "find /mlflow ! -path '*/__pycache__*' -exec stat -c '%n %A %u:%g %s %Y %N' {} + | sort",
]


@pytest.fixture
def folder(project) -> str:
    """Links, folders, names beyond ASCII, a program and a file that `.dockerignore` names."""
    root = Path(project(MLPROJECT, run__sh="#!/bin/sh\n", notes__log="left out\n"))
    (root / ".dockerignore").write_text("*.log\ndata\n!data/deep/kept.csv\n")
    (root / "run.sh").chmod(0o750)
    for name in ("empty", "ü b", "data/deep"):
        (root / name).mkdir(parents=True)
    (root / "ü b" / "naïve.py").write_text("x = 1\n")
    (root / "data" / "deep" / "kept.csv").write_text("1\n")
    (root / "link").symlink_to("ü b/naïve.py")
    return str(root)


@pytest.fixture
def name(engine):
    """For an image, which goes with the test."""
    wanted = f"container-backend-test/code:{uuid.uuid4().hex[:8]}"
    yield wanted
    remove_images(engine, *(image.id for image in client_of(engine).images.list(wanted)))


def top(engine, image: str) -> str:
    """The layer of an image that is above all others."""
    return client_of(engine).images.get(image).attrs["RootFS"]["Layers"][-1]


def _remove_folders(folder: str) -> None:
    """The code of a project with folders is always sent."""
    for path in ("ü b", "empty", "data"):
        shutil.rmtree(Path(folder, path))
    Path(folder, "link").unlink()


def by_build(engine, folder: str) -> str:
    run_command("container-backend", "build", folder, "-t", "layers", check=True)
    layer = top(engine, "layers:latest")  # a name without a tag has this one
    remove_images(engine, "layers")
    return layer


def by_build_image(engine, folder: str) -> str:
    with archive_code(Path(folder), ANYBODY) as code:
        image = add_code(engine, have_image(engine, ReadyImage(BASE)), "layers", code)
    layer = top(engine, image.id)
    remove_images(engine, image.reference)
    return layer


def by_sharing(engine, folder: str, notes: Path) -> str:
    with archive_code(Path(folder), ANYBODY) as code:
        shared = SharedCode(engine, have_image(engine, ReadyImage(BASE)), code, notes)
        assert shared.find() == ""
        shared.was_sent()
        layer = top(engine, shared.find())
    remove_shared_code(engine, notes)
    return layer


@pytest.mark.slow
def test_each_way_makes_the_same_layer_also_without_the_cache_of_builds(
    folder, engine, tmp_path, monkeypatch
):
    with archive_code(Path(folder), ANYBODY) as code:
        expected = code.code.digest
    with OwnEngine() as own, own.connected() as alone:
        own.take(BASE, engine)
        monkeypatch.setenv("DOCKER_HOST", own.host)
        for _ in range(2):
            assert by_build(alone, folder) == expected
            assert by_build_image(alone, folder) == expected
            assert by_sharing(alone, folder, tmp_path / "notes") == expected
            assert client_of(alone).api.prune_builds()["SpaceReclaimed"]
            for path in Path(folder).rglob("*"):
                os.utime(path, (1, 1), follow_symlinks=False)


def test_a_run_that_builds_an_image_shares_the_layer_of_runs_that_share(folder, engine):
    _remove_folders(folder)
    for _ in range(2):
        run = container_backend.run(folder, backend_config={"keep": "always"})
        container = client_of(engine).api.inspect_container(run.container_id)
        client_of(engine).api.remove_container(run.container_id)
    shared = top(engine, container["Image"])
    done = run_command("mlflow", "run", folder, "--backend", "docker", "--build-image")
    assert done.returncode == 0, done.stderr
    names = {
        name
        for image in client_of(engine).images.list("container-backend/project-layers")
        for name in image.tags
    }
    try:
        assert {top(engine, name) for name in names} == {shared}
    finally:
        remove_images(engine, *names)
        remove_shared_code(engine, ledger_of(engine.host).shared_code)


@pytest.mark.parametrize("store", ["overlay2", "containerd"])
def test_files_in_a_layer_are_as_they_are_when_they_are_sent(
    folder, name, engine, store, monkeypatch
):
    """Where an engine keeps its images in containerd, BuildKit unpacks the same tar."""
    owner = Owner(1234, 4321)
    more = [("/mlflow/record/environment/Dockerfile", io.BytesIO(b"FROM scratch\n"))]
    with archive_code(Path(folder), owner, more=lambda: more) as code:
        made = client_of(engine).api.create_container(BASE, SEES)["Id"]
        engine.containers.put_archive(made, "/", code.whole())
        monkeypatch.setattr(
            code_layer, "CONTAINERD", engine.facts.image_store if store == "containerd" else ""
        )
        code_layer.add_layers(engine, BASE, code.layers, name, {"answer": "42"})
    try:
        client_of(engine).api.start(made)
        client_of(engine).api.wait(made)
        sent = client_of(engine).api.logs(made).decode()
    finally:
        client_of(engine).api.remove_container(made, force=True)
    built = client_of(engine).containers.run(name, SEES, remove=True).decode()
    assert built.splitlines() == sent.splitlines()
    assert "/mlflow/projects/code/run.sh -rwxr-x--- 1234:4321" in built
    assert "'/mlflow/projects/code/data/deep/kept.csv'" in built
    assert "notes.log" not in built
    config = client_of(engine).images.get(name).attrs["Config"]
    assert config["Labels"]["answer"] == "42"
    assert config["WorkingDir"] == labels_and_tags.CODE_DIRECTORY
    assert config["Env"] == client_of(engine).images.get(BASE).attrs["Config"]["Env"]


def test_a_project_image_that_is_built_again_without_a_change_is_the_same(folder, name, engine):
    built = []
    for _ in range(2):
        run_command("container-backend", "build", folder, "-t", name, check=True)
        built.append(client_of(engine).images.get(name).id)
    assert built[0] == built[1]
    Path(folder, "run.sh").write_text("#!/bin/bash\n")
    run_command("container-backend", "build", folder, "-t", name, check=True)
    assert client_of(engine).images.get(name).id != built[0]


def test_a_file_that_would_delete_another_in_an_image_is_refused(folder, name, engine):
    Path(folder, ".wh.run.sh").write_text("")
    done = run_command("container-backend", "build", folder, "-t", name)
    assert done.returncode == container_backend.InvalidProject.exit_code
    assert "'.wh.run.sh' cannot be in an image" in done.stderr
    assert not client_of(engine).images.list(name)
    _remove_folders(folder)
    images = set()
    for _ in range(3):  # in a container it is a file as any other, and sent each time
        run = container_backend.run(folder, backend_config={"keep": "always"})
        images.add(client_of(engine).api.inspect_container(run.container_id)["Image"])
        client_of(engine).api.remove_container(run.container_id)
    assert images == {client_of(engine).images.get(BASE).id}
