"""Environment images in a registry: found before they are built, pushed when they were."""

from __future__ import annotations

import uuid

import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.on_engine import remove_images
from tests.support.runs import only_run

pytestmark = pytest.mark.usefixtures("fresh")
LOGIN = {"username": "me", "password": "r3gistry-password"}


@pytest.fixture
def mine(project) -> str:
    """A project with an environment of its own, for which nothing is fetched."""
    return project(
        "entry_points: {main: {command: 'true'}}\n",
        requirements__txt=f"--find-links https://{uuid.uuid4()}.test/\n",
    )


def forget(engine, reference: str) -> None:
    """As on an engine that has never seen the image."""
    remove_images(engine, client_of(engine).images.get(reference).id)


def test_an_image_that_was_pushed_is_pulled_and_not_built(mine, engine, registry, capfd):
    config = {"image_repository": f"{registry}/team/environments"}
    auth = {**LOGIN, "registry": registry}
    built = container_backend.build(mine, backend_config={**config, "push": True}, docker_auth=auth)
    assert "=== Pushing environment image" in capfd.readouterr().err
    forget(engine, built)
    run = container_backend.run(mine, backend_config=config, docker_auth=auth)
    said = capfd.readouterr().err
    assert "=== Pulled environment image" in said
    assert "=== Building" not in said
    assert run.get_status() == "FINISHED"
    tags = only_run().data.tags
    assert tags[labels_and_tags.TAG_IMAGE] == built
    stored = client_of(engine).images.get(built).attrs["RepoDigests"]
    assert tags[labels_and_tags.TAG_IMAGE_DIGEST] in {entry.partition("@")[2] for entry in stored}


def test_an_image_that_the_registry_does_not_have_is_built(mine, registry, capfd):
    config = {"image_repository": f"{registry}/team/environments"}
    container_backend.build(
        mine, backend_config=config, docker_auth={**LOGIN, "registry": registry}
    )
    said = capfd.readouterr().err
    assert "=== Built" in said
    assert "WARNING" not in said


@pytest.mark.parametrize("case", ["no registry", "no login"])
def test_a_registry_that_does_not_tell_is_named_and_the_image_is_built(mine, registry, capfd, case):
    repository = "127.0.0.1:1/team/x" if case == "no registry" else f"{registry}/team/x"
    container_backend.build(mine, backend_config={"image_repository": repository})
    said = capfd.readouterr().err
    assert f"The registry does not tell whether it has {repository}:" in said
    assert "=== Built" in said


def test_a_registry_that_does_not_take_the_image_ends_the_run(mine, engine, registry):
    config = {"image_repository": f"{registry}/team/x", "push": True}
    wrong = {"username": "me", "password": "wr0ng-password", "registry": registry}
    with pytest.raises(container_backend.ImageUnavailable) as caught:
        container_backend.run(mine, backend_config=config, docker_auth=wrong)
    assert f"'{registry}/team/x:" in str(caught.value)
    assert "cannot be pushed" in str(caught.value)
    assert "wr0ng-password" not in str(caught.value)
    found = only_run()
    assert found.info.status == "FAILED"
    assert "cannot be pushed" in found.data.tags[labels_and_tags.TAG_REASON]
