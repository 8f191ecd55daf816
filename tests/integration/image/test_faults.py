"""What is said, and what is left, when an engine fails while it builds; each time one of its own."""

from __future__ import annotations

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.image import find as images
from container_backend.runs import launch
from tests.support.client import client_of
from tests.support.commands import command, run_command
from tests.support.engines import OwnEngine
from tests.support.on_engine import BASE
from tests.support.projects import with_steps
from tests.support.runs import only_run, runs
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.image.buildkit.trace import StepEvent

# The base takes a third of it.
DISK_BYTES = 700_000_000
MAIN = "name: mine\nentry_points: {main: {command: 'true'}}\n"
# Of the free bytes, leave as many.
FILL = 'fallocate -l "$(($(df --output=avail -B 1 / | tail -n 1) - %d))" /filler'


@pytest.fixture
def own(engine, request, monkeypatch) -> Iterator[OwnEngine]:
    """An engine that has the base and nothing else; that of all commands."""
    with OwnEngine(getattr(request, "param", None)) as started:
        started.take(BASE, engine)
        monkeypatch.setenv("DOCKER_HOST", started.host)
        yield started


small = pytest.mark.parametrize("own", [DISK_BYTES], indirect=True, ids=["small disk"])


def assert_failed_and_left_nothing(own: OwnEngine, folder: str, *words: str) -> None:
    """The one run says why it failed; on the engine are the images of before, and no others."""
    found = only_run()
    assert found.info.status == "FAILED"
    for said in words:
        assert said in found.data.tags[labels_and_tags.TAG_REASON]
    dry = run_command("container-backend", "run", folder, "--dry-run", "--json", check=True)
    plan = json.loads(dry.stdout)
    assert plan["image_exists"] is False
    with own.connected() as second:
        found_images = client_of(second).images.list(all=True)
        assert [image.tags for image in found_images] == [[BASE]]
        assert client_of(second).containers.list(all=True) == []
    assert plan["environment_hash"] == found.data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH]


def assert_one_message(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == container_backend.BuildError.exit_code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Error: ") == 1
    message = done.stderr.partition("Error: ")[2]
    for said in words:
        assert message.count(said) == 1


FULL = "The engine's disk is full."
ROOM = "`docker builder prune`"


@small
@pytest.mark.slow
def test_a_step_that_fills_the_disk(own, project):
    folder = with_steps(project(MAIN), "system", "RUN head -c 2000000000 /dev/zero > /big")
    done = run_command("container-backend", "run", folder)
    assert_one_message(done, "\nFailed step: RUN head -c 2000000000", FULL, ROOM)
    assert_failed_and_left_nothing(own, folder, FULL, ROOM)
    Path(folder, "Dockerfile.j2").unlink()
    run_command("container-backend", "run", folder, check=True)


@pytest.mark.slow
@small
def test_a_disk_that_is_full_while_packages_are_installed(own, project):
    """Everything is there for the installation, but not the room for it."""
    with_lock = "--mount=type=bind,from=lock,source=/lock,target=/lock"
    folder = with_steps(
        project(MAIN, requirements__txt="numpy\n"),
        "dependencies",
        f"RUN {with_lock} {FILL % 20_000_000}\n{{{{ super() }}}}",
    )
    done = run_command("container-backend", "run", folder)
    assert "    installing the heavy packages: failed\n" in done.stderr
    assert_one_message(done, "\nFailed step: installing the heavy packages", FULL, ROOM)
    assert_failed_and_left_nothing(own, folder, FULL, ROOM)


@pytest.mark.slow
@small
def test_a_disk_that_is_full_while_the_image_is_written(own, project):
    """With each file of a layer, the engine's own account of it grows."""
    many = "mkdir /many && cd /many && seq 20000 | xargs touch"
    folder = with_steps(project(MAIN), "final", f"RUN {many} && {FILL % 500_000}")
    done = run_command("container-backend", "run", folder)
    assert_one_message(done, "\nFailed step: writing the image", FULL, ROOM)
    assert_failed_and_left_nothing(own, folder, FULL, ROOM)


@pytest.mark.slow
@small
def test_a_disk_that_is_full_before_the_image_has_its_name(own, project, monkeypatch):
    """Filled when the image is written, before anything else is asked of the engine."""
    folder = project(MAIN)

    def fill_up(event: StepEvent) -> None:
        if (event.step, event.kind) == ("exporting to image", "completed"):
            own.fill_up()

    with monkeypatch.context() as patch:
        patch.setattr(images, "shown_steps", lambda: nullcontext(fill_up))
        with pytest.raises(container_backend.BuildError) as caught:
            container_backend.run(folder)
    # Engines say that, or that a folder is not there which they could not make.
    assert "disk is full" in str(caught.value)
    assert "went away" not in str(caught.value)
    assert_failed_and_left_nothing(own, folder, "disk is full", ROOM)


@pytest.mark.slow
def test_an_engine_that_is_killed_during_a_build(own, project):
    folder = with_steps(project(MAIN), "system", "RUN sleep 600")
    with command("container-backend", "run", folder) as process:
        wait_until(lambda: own.runs("sleep 600"))
        own.kill()
        out, err = process.communicate(timeout=60)
    own.start()
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    assert_one_message(done, "The engine went away during the build", "`docker info`")
    assert_failed_and_left_nothing(own, folder, "The engine went away during the build")
    Path(folder, "Dockerfile.j2").unlink()
    run_command("container-backend", "run", folder, check=True)
    assert sorted(run.info.status for run in runs()) == ["FAILED", "FINISHED"]


@pytest.mark.slow
def test_an_engine_that_is_killed_before_the_container_is_created(own, project, monkeypatch):
    folder = project(MAIN)
    container_spec = launch.container_spec

    def kill_first(*arguments: object, **options: object) -> object:
        own.kill()
        return container_spec(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(launch, "container_spec", kill_first)
        with pytest.raises(container_backend.EngineUnavailable, match="does not answer"):
            container_backend.run(folder)
    found = only_run()
    assert found.info.status == "FAILED"
    assert "The engine does not answer" in found.data.tags[labels_and_tags.TAG_REASON]
    own.start()
    container_backend.run(folder)


@pytest.mark.slow
@small
def test_a_full_disk_when_code_is_put_into_an_image(own, project):
    folder = project(f"name: mine\ndocker_env: {{image: '{BASE}'}}\n{MAIN.partition(chr(10))[2]}")
    own.fill_up()
    done = run_command("container-backend", "run", folder, "--build-image")
    assert_one_message(done, "The image with the code could not be built", FULL, ROOM)
    assert FULL in only_run().data.tags[labels_and_tags.TAG_REASON]


@small
def test_a_full_disk_when_the_container_is_created(own, project):
    folder = project(MAIN)
    run_command("container-backend", "build", folder, check=True)
    own.fill_up()
    with pytest.raises(container_backend.ContainerError) as caught:
        container_backend.run(folder)
    # Some engines miss what they could not make.
    assert "disk is full" in str(caught.value)
    assert "disk is full" in only_run().data.tags[labels_and_tags.TAG_REASON]
