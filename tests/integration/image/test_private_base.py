"""A base image in a registry with a password: who knows it builds, and no image, message or tag has it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.on_engine import BASE, environment_images, everything, remove_images
from tests.support.projects import TRUST
from tests.support.runs import only_run
from tests.support.servers import private_registry
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

USER, PASSWORD = "me", "r3gistry-password"


@pytest.fixture(scope="module")
def private_base(engine, tmp_path_factory):
    """A base that the engine has to ask the registry for."""
    with private_registry(tmp_path_factory.mktemp("registry")) as registry:
        reference = f"{registry}/private/python:3.11"
        client_of(engine).images.get(BASE).tag(reference)
        login = {"username": USER, "password": PASSWORD}

        def push() -> bool:
            answers = client_of(engine).api.push(
                reference, auth_config=login, stream=True, decode=True
            )
            return not any("error" in answer for answer in answers)

        wait_until(push)
        remove_images(engine, reference)
        before = environment_images(engine)
        yield reference
        remove_images(engine, *environment_images(engine) - before)


@pytest.fixture
def mine(project) -> str:
    return project(
        "entry_points: {main: {command: 'echo it ran'}}\n",
        requirements__txt=f"--find-links https://{uuid.uuid4()}.test/\n",
    )


def in_the_config_file(folder: Path, registry: str, password: str) -> dict[str, str]:
    login = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": login}}}))
    return {"DOCKER_CONFIG": str(folder)}


def in_a_helper(folder: Path, registry: str, password: str) -> dict[str, str]:
    """https://docs.docker.com/reference/cli/docker/login/#credential-helper-protocol"""
    answer = json.dumps({"ServerURL": registry, "Username": USER, "Secret": password})
    helper = folder / "docker-credential-test"
    helper.write_text(f"#!/bin/sh\n[ \"$1\" = get ] && cat >/dev/null && echo '{answer}'\n")
    helper.chmod(0o755)
    (folder / "config.json").write_text(json.dumps({"credHelpers": {registry: "test"}}))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    "where", [in_the_config_file, pytest.param(in_a_helper, marks=pytest.mark.slow)]
)
def test_a_run_on_a_private_base_leaves_no_password(mine, private_base, engine, tmp_path, where):
    environ = where(tmp_path, private_base.partition("/")[0], PASSWORD)
    config = json.dumps({"base_image": private_base})
    done = run_command(
        "container-backend", "run", mine, "-c", config, env={**os.environ, **environ}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "it ran\n"
    found = only_run()
    image = found.data.tags[labels_and_tags.TAG_IMAGE]
    assert (
        client_of(engine).images.get(image).labels[labels_and_tags.LABEL_BASE_IMAGE] == private_base
    )
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    for secret in (PASSWORD.encode(), login):
        assert secret not in everything(engine, image)
        assert secret.decode() not in done.stderr + str(found.data)


@pytest.mark.parametrize("where", [in_the_config_file, in_a_helper])
def test_a_registry_that_refuses_the_password_of_a_base(mine, private_base, tmp_path, where):
    environ = where(tmp_path, private_base.partition("/")[0], "wr0ng-password")
    config = json.dumps({"base_image": private_base})
    done = run_command(
        "container-backend", "run", mine, "-c", config, env={**os.environ, **environ}
    )
    assert done.returncode == container_backend.ImageUnavailable.exit_code
    assert f"The base image '{private_base}' is not on the engine" in done.stderr
    assert "docker login" in done.stderr
    assert "wr0ng-password" not in done.stderr
    assert "Traceback" not in done.stderr


# The Docker SDK warns as well.
@pytest.mark.filterwarnings("ignore:docker-credential-absent not installed:UserWarning")
def test_a_helper_that_is_not_there_is_as_no_login(mine, private_base, tmp_path):
    registry = private_base.partition("/")[0]
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {registry: "absent"}}))
    environ = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
    config = json.dumps({"base_image": private_base})
    done = run_command("container-backend", "build", mine, "-c", config, env=environ)
    assert done.returncode == container_backend.ImageUnavailable.exit_code
    assert f"The Docker config has no login for {registry}: " in done.stderr
    assert "docker-credential-absent not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_image_that_a_fetched_project_names_is_pulled_without_a_saved_login(
    private_base, engine, tmp_path, monkeypatch
):
    project = tmp_path / "project"
    project.mkdir()
    (project / "MLproject").write_text(
        f"docker_env: {{image: '{private_base}'}}\nentry_points: {{main: {{command: 'echo it ran'}}}}\n"
    )
    uri = shutil.make_archive(str(tmp_path / "project"), "zip", project)
    environ = in_the_config_file(tmp_path, private_base.partition("/")[0], PASSWORD)
    remove_images(engine, private_base)
    done = run_command("container-backend", "build", uri, env={**os.environ, **environ})
    assert done.returncode == container_backend.ImageUnavailable.exit_code
    assert f"docker pull {private_base}" in done.stderr
    trusted = run_command("container-backend", "build", uri, *TRUST, env={**os.environ, **environ})
    assert trusted.returncode == 0, trusted.stderr
