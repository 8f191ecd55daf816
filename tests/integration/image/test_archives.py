"""Images in a file, and an engine that knows nothing else: no registry, no index, no base image."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import uuid
from pathlib import Path

import pytest

from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.disks import tiny_disk
from tests.support.engines import OwnEngine
from tests.support.on_engine import BASE, environment_images, remove_images
from tests.support.projects import TRUST
from tests.support.runs import only_run

PROJECT = "name: salary\nentry_points: {main: {parameters: {n: int}, command: 'echo {n}; cat x'}}\n"


@pytest.fixture
def folder(project) -> str:
    # An environment of its own, for which nothing is fetched.
    return project(
        PROJECT,
        x="of the project\n",
        requirements__txt=f"--find-links https://{uuid.uuid4()}.test/\n",
    )


@pytest.fixture(scope="module")
def archived(engine, tmp_path_factory) -> Path:
    """A project, and in it the file of its images; the engine does not have them any more."""
    project = tmp_path_factory.mktemp("archived")
    (project / "MLproject").write_text(PROJECT)
    (project / "x").write_text("of the project\n")
    (project / "requirements.txt").write_text(f"--find-links https://{uuid.uuid4()}.test/\n")
    (project / ".dockerignore").write_text("salary.tar\n")
    before = environment_images(engine)
    command = ("build", str(project), "-t", "team/salary:1.0")
    run_command(*("container-backend", *command, "--save", str(project / "salary.tar")), check=True)
    remove_images(engine, *environment_images(engine) - before)
    return project


@pytest.fixture
def archive(archived) -> Path:
    return archived / "salary.tar"


@pytest.mark.slow
def test_an_engine_without_anything_runs_what_is_in_a_file(
    archived, archive, tmp_path, monkeypatch
):
    folder = shutil.copytree(archived, tmp_path / "project")
    (folder / "salary.tar").unlink()
    folder = str(folder)
    with OwnEngine() as own, own.connected() as engine:
        monkeypatch.setenv("DOCKER_HOST", own.host)
        for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.delenv(proxy, raising=False)
        loaded = run_command("container-backend", "load", str(archive), "--json", check=True)
        assert {image["kind"] for image in json.loads(loaded.stdout)} == {"project", "environment"}
        assert not client_of(engine).images.list(BASE)
        shown = run_command("container-backend", "inspect", "team/salary:1.0", check=True).stdout
        assert "-P n=…  int  needed" in shown
        before = environment_images(engine)
        done = run_command(
            *("container-backend", "run", folder, "-P", "n=1", "-c", '{"pull": "never"}')
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "1\nof the project\n"
        assert "was not found; the environment image exists" in done.stderr
        assert "Building" not in done.stderr
        assert environment_images(engine) == before
        assert labels_and_tags.TAG_ENVIRONMENT_HASH in only_run().data.tags
        done = run_command(
            "container-backend", "run", "docker://team/salary:1.0", *TRUST, "-P", "n=2"
        )
        assert (done.returncode, done.stdout) == (0, "2\nof the project\n"), done.stderr
        answer = subprocess.run(
            ["docker", "run", "--rm", "team/salary:1.0", "-P", "n=3"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert answer.stdout == "3\nof the project\n"
        # Another environment would have to be built, which cannot be.
        Path(folder, "requirements.txt").write_text("six\n")
        done = run_command(
            *("container-backend", "run", folder, "-P", "n=1", "-c", '{"pull": "never"}')
        )
        assert done.returncode == 5
        assert f"'{BASE}' is not on the engine" in done.stderr


@pytest.mark.parametrize("case", ["cut off", "no archive", "not there", "a folder", "of others"])
def test_a_file_that_is_none_of_ours_is_refused_and_nothing_is_loaded(
    archive, engine, tmp_path, case
):
    file = tmp_path / "other.tar"
    said = "is not an archive of images"
    if case == "cut off":
        file.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    elif case == "no archive":
        file.write_text("hello")
    elif case == "a folder":
        file.mkdir()
        said = "is a directory"
    elif case == "not there":
        said = "No such file or directory"
    else:
        subprocess.run(["docker", "save", "-o", file, BASE], check=True)
        said = f"has no image that was made by container-backend: it has {BASE}"
    before = environment_images(engine)
    done = run_command("container-backend", "load", str(file))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert environment_images(engine) == before


def test_what_both_images_have_is_in_the_file_once(archive):
    with tarfile.open(archive) as tar:
        big = [entry for entry in tar if entry.isfile() and entry.size > 1_000_000]
        digests = [hashlib.sha256(tar.extractfile(entry).read()).hexdigest() for entry in big]
        manifest = json.load(tar.extractfile("manifest.json"))
    assert len(manifest) == 2
    assert digests
    assert len(digests) == len(set(digests))


def test_a_full_disk_leaves_no_file(folder, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    with tiny_disk(mount, "20m"):
        done = run_command(
            *("container-backend", "build", folder, "-t", "team/salary:1.0"),
            *("--save", f"{mount}/salary.tar"),
        )
        assert done.returncode == 2
        assert f"'{mount}/salary.tar' cannot be written: No space left on device" in done.stderr
        assert list(mount.iterdir()) == []
