"""Environment images: built once, built again on request, listed, removed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.engine import connect
from container_backend.image import build as image_build
from container_backend.image.buildkit.build import build_image
from container_backend.image.prune import image_lock, list_images
from tests.support import worker
from tests.support.client import client_of
from tests.support.commands import command, run_command
from tests.support.on_engine import BASE, containers_of, environment_images
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture
def mine(project) -> str:
    """A project with an environment of its own, for which nothing is fetched."""
    return project(
        "name: mine\nentry_points: {main: {command: 'sleep {s}', parameters: {s: {default: 0}}}}\n",
        requirements__txt=f"--find-links https://{uuid.uuid4()}.test/\n",
    )


def listed(engine) -> dict[str, dict]:
    """By their names, those of this worker."""
    done = run_command("container-backend", "images", "--json", check=True)
    mine = environment_images(engine)
    found = [image for image in json.loads(done.stdout) if image["id"] in mine]
    return {name: image for image in found for name in image["names"]}


@pytest.mark.slow
def test_two_processes_that_want_the_same_image_build_it_once(project, engine):
    folder = project("entry_points: {main: {command: 'true'}}\n", requirements__txt="six\n")
    Path(folder, "Dockerfile.j2").write_text(
        f"{{% block final %}}{{{{ super() }}}}# {uuid.uuid4()}\n{{% endblock %}}"
    )
    with (
        command("container-backend", "build", folder) as one,
        command("container-backend", "build", folder) as other,
    ):
        answers = [process.communicate(timeout=120) for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    said = "".join(error for _, error in answers)
    assert len(re.findall("=== Built ", said)) == 1
    assert len(re.findall("=== Using environment image ", said)) == 1


@pytest.mark.slow
def test_a_process_waits_for_one_that_builds_the_same_image(mine, engine):
    dry = run_command("container-backend", "run", mine, "--dry-run", "--json")
    with image_lock(engine.host, json.loads(dry.stdout)["environment_hash"]) as lock:
        lock.own()
        with command("container-backend", "build", mine) as process:
            wait_until(lambda: "=== Waiting for another process" in process.stderr.readline())
            lock.close()
            out, err = process.communicate(timeout=120)
    assert (process.returncode, err.count("=== Built ")) == (0, 1)
    assert out.strip() in listed(engine)


def test_rebuild_builds_what_is_there(mine, engine):
    first = client_of(engine).images.get(container_backend.build(mine))
    again = container_backend.build(mine, backend_config={"rebuild": True})
    assert again == first.tags[0]
    assert client_of(engine).images.get(again).id != first.id
    assert container_backend.build(mine) == again


def test_the_registry_of_the_base_is_asked_as_told(mine):
    assert container_backend.build(mine, backend_config={"pull": "never"})
    with pytest.raises(container_backend.ImageUnavailable, match="'pull' is 'never'"):
        container_backend.build(
            mine, backend_config={"pull": "never", "base_image": "127.0.0.1:1/not/here:1"}
        )
    with pytest.raises(container_backend.ImageUnavailable, match="registry does not have it"):
        container_backend.build(
            mine, backend_config={"pull": "always", "base_image": "127.0.0.1:1/not/here:1"}
        )


def test_images_says_what_there_is_and_who_used_it(mine, engine):
    container_backend.run(mine)
    reference = container_backend.build(mine)
    found = listed(engine)[reference]
    assert found["projects"] == ["mine"]
    assert found["hash"].startswith(reference.rpartition(":")[2])
    assert found["size"] >= found["shared"] > 0
    assert found["last_used"] >= found["created"] - 1
    wait_until(lambda: listed(engine)[reference]["containers"] == 0)  # the run's is removed
    table = run_command("container-backend", "images", check=True).stdout
    assert re.search(rf"{found['hash'][:12]} +3\.11 .* 0 +mine", table)


@pytest.mark.slow
def test_images_are_listed_by_many_at_once(mine):
    """Engine 20.10 refuses to say what images use while another client asks the same."""
    reference = container_backend.build(mine)

    def listings(_: int) -> list[set[str]]:
        with closing(connect()) as own:
            return [{name for image in list_images(own) for name in image.names} for _ in range(5)]

    with ThreadPoolExecutor(4) as clients:
        for found in clients.map(listings, range(4)):
            assert all(reference in names for names in found)


def test_prune_removes_what_no_run_needs(mine, engine):
    reference = container_backend.build(mine)
    dry = run_command("container-backend", "prune", "--dry-run")
    assert f"Would remove {reference}\n" in dry.stdout
    assert reference in listed(engine)
    old = run_command("container-backend", "prune", "--dry-run", "--older-than", "1h")
    assert reference not in old.stdout
    running = container_backend.run(mine, parameters={"s": 600}, synchronous=False)
    try:
        wait_until(lambda: containers_of(engine, running.run_id))
        assert reference not in run_command("container-backend", "prune", "--dry-run").stdout
    finally:
        running.cancel()


@pytest.mark.slow
def test_an_image_that_a_run_is_about_to_use_is_kept(mine, engine):
    reference = container_backend.build(mine)
    environment_hash = (
        client_of(engine).images.get(reference).labels[labels_and_tags.LABEL_ENVIRONMENT_HASH]
    )
    with image_lock(engine.host, environment_hash) as lock:
        lock.share()
        done = run_command("container-backend", "prune", environment_hash)
        assert f"Kept {reference}: a run is about to use it" in done.stderr
        assert reference in listed(engine)
    others = set(listed(engine)) - {reference}
    done = run_command("container-backend", "prune", environment_hash[:12])
    assert done.stdout == f"Removed {reference}\n"
    assert set(listed(engine)) == others
    assert client_of(engine).images.get(BASE)


def test_an_age_that_is_none_is_refused():
    done = run_command("container-backend", "prune", "--older-than", "soon")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'soon' is not an age" in done.stderr


def test_an_image_that_another_process_looks_into_is_finished(mine, engine, monkeypatch):
    """Two that build the same have the same image; the other one has a container of it."""
    looked_into = []

    def look(*arguments, **options) -> str:
        image = build_image(*arguments, **options)
        if not looked_into:
            created = client_of(engine).api.create_container(image, ["true"])
            looked_into.append(created["Id"])
        return image

    monkeypatch.setattr(image_build, "build_image", look)
    try:
        assert container_backend.build(mine) in listed(engine)
    finally:
        for container in looked_into:
            client_of(engine).api.remove_container(container)


@pytest.mark.slow
def test_many_users_build_the_same_environment_at_once(mine, engine, tmp_path):
    """What one of them has made is the same image as another's, and is not taken from it."""
    with contextlib.ExitStack() as running:
        builds = [
            running.enter_context(
                command(
                    *("container-backend", "build", mine),
                    env={**os.environ, "XDG_STATE_HOME": str(tmp_path / f"user {number}")},
                )
            )
            for number in range(6)
        ]
        answers = [(build.communicate(timeout=300), build.returncode) for build in builds]
    assert [code for _, code in answers] == [0] * 6, answers
    (reference,) = {out for (out, _), _ in answers}
    assert client_of(engine).images.get(reference.strip())
    assert (
        client_of(engine).images.list(labels_and_tags.UNFINISHED_REPOSITORY, filters=worker.mine())
        == []
    )
