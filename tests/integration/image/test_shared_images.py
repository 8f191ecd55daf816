"""Project images in a registry: pushed, refused, pulled as projects."""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.runs.submission import Submission
from container_backend.share.sharing import build_and_share
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.projects import TRUSTED
from tests.support.runs import only_run

pytestmark = pytest.mark.usefixtures("fresh")
USER, PASSWORD = "me", "r3gistry-password"
LOGIN = {"username": USER, "password": PASSWORD}


@pytest.fixture
def folder(project) -> str:
    return project(
        "name: salary\nentry_points: {main: {parameters: {n: int}, command: 'echo {n}'}}\n",
        requirements__txt=f"--find-links https://{uuid.uuid4()}.test/\n",
    )


def tags_in(registry: str, repository: str) -> list[str]:
    request = urllib.request.Request(f"http://{registry}/v2/{repository}/tags/list")
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request.add_header("Authorization", f"Basic {login}")
    not_there = contextlib.suppress(urllib.error.HTTPError)
    with not_there, urllib.request.urlopen(request) as answer:
        return json.load(answer)["tags"] or []
    return []


@pytest.mark.slow
def test_an_image_that_was_pushed_runs_where_its_source_is_not(
    folder, registry, engine, monkeypatch, capfd
):
    auth = {**LOGIN, "registry": registry}
    tag = f"{registry}/team/salary:1.0"
    built = build_and_share(Submission(uri=folder, docker_auth=auth), tag, push=True)
    assert built.digest.startswith("sha256:")
    assert tags_in(registry, "team/salary") == ["1.0"]
    for image in {built.id, built.environment.id}:
        remove_images(engine, image)
    Path(folder, "MLproject").unlink()
    given = {"docker_auth": auth, "backend_config": TRUSTED}
    container_backend.run(f"docker://{tag}", parameters={"n": 5}, **given)
    captured = capfd.readouterr()
    assert captured.out.endswith("5\n")
    assert f"=== Pulling image {tag} ===" in captured.err
    tags = only_run().data.tags
    assert tags["mlflow.source.name"] == f"docker://{tag}@{built.digest}"
    assert tags[labels_and_tags.TAG_IMAGE_DIGEST] == built.digest
    assert tags[labels_and_tags.TAG_IMAGE] == tag
    # The same again, by its digest, whatever the tag means by then.
    remove_images(engine, tag)
    container_backend.run(tags["mlflow.source.name"], parameters={"n": 6}, **given)
    assert capfd.readouterr().out.endswith("6\n")


@pytest.mark.slow
def test_a_registry_that_refuses_gets_nothing(folder, registry):
    tag = f"{registry}/team/salary:1.0"
    wrong = {"username": USER, "password": "wr0ng-password", "registry": registry}
    with pytest.raises(container_backend.ImageUnavailable) as caught:
        build_and_share(Submission(uri=folder, docker_auth=wrong), tag, push=True)
    assert f"The image '{tag}' cannot be pushed" in str(caught.value)
    assert "wr0ng-password" not in str(caught.value)
    assert tags_in(registry, "team/salary") == []
    done = run_command("container-backend", "build", folder, "-t", tag, "--push")
    assert done.returncode == 5
    assert "docker login" in done.stderr
    assert "Traceback" not in done.stderr
    assert tags_in(registry, "team/salary") == []


def test_inspecting_an_image_that_the_registry_keeps_to_itself(registry):
    done = run_command("container-backend", "inspect", f"{registry}/team/salary:1.0")
    assert done.returncode == 5
    assert "cannot be pulled" in done.stderr
