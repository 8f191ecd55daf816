"""Names of images, and what their labels say."""

from __future__ import annotations

import json

import pytest

from container_backend import labels_and_tags
from container_backend.errors import InvalidConfig, InvalidInput, InvalidProject
from container_backend.image.facts import read_image
from container_backend.image.registry import (
    check_tag,
    reference_of,
    registry_digest,
    repository_of,
    tag_of,
)
from container_backend.labels_and_tags import RUNNER_PROGRAM

MLPROJECT = {"name": "x", "entry_points": {"main": {"command": "echo"}}}


def inspected(labels: dict[str, str], **more: object) -> dict[str, object]:
    return {
        "Id": "sha256:1",
        "Os": "linux",
        "Architecture": "amd64",
        "Size": 5,
        "RepoDigests": ["other/name@sha256:a", "registry.test/team/x@sha256:b"],
        "Config": {"Labels": labels, **more},
    }


@pytest.mark.parametrize("name", ["x", "team/salary:1.0", "registry.test:5000/team/salary:1.0"])
def test_a_name_that_an_image_can_have(name):
    assert check_tag(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Salary", "a b", "x:", "x@sha256:" + "0" * 64, "-x", "x" * 256, "container-backend/x:1"],
)
def test_a_name_that_an_image_cannot_have(name):
    with pytest.raises(InvalidConfig) as caught:
        check_tag(name)
    assert f"'{name}'" in str(caught.value)


@pytest.mark.parametrize("uri", ["docker://", "docker:///x", "docker://X", "docker://x#sub"])
def test_an_address_that_names_no_image(uri):
    with pytest.raises(InvalidProject, match="is not the address of an image"):
        reference_of(uri)


def test_the_parts_of_a_name():
    name = "registry.test:5000/team/salary:1.0"
    assert reference_of(f"docker://{name}") == name
    assert (repository_of(name), tag_of(name)) == ("registry.test:5000/team/salary", "1.0")
    assert tag_of("registry.test:5000/team/salary") == ""
    assert repository_of("docker.io/library/python:3") == "python"
    assert registry_digest("registry.test/team/x:1", inspected({})) == "sha256:b"
    assert registry_digest("elsewhere/x:1", inspected({})) == "sha256:a"
    assert registry_digest("x", {}) == ""


def test_a_project_image():
    labels = {
        labels_and_tags.LABEL_MLPROJECT: json.dumps(MLPROJECT),
        labels_and_tags.LABEL_OF_ENVIRONMENT: "abc",
        labels_and_tags.LABEL_ENVIRONMENT_HASH: "",
        labels_and_tags.LABEL_PACKAGES: "90",
    }
    runner = f"{labels_and_tags.RUNNER_DIRECTORY}/{RUNNER_PROGRAM}"
    entrypoint = ["/start", "/python", "-I", "-S", runner]
    found = read_image("registry.test/team/x:1", inspected(labels, Entrypoint=entrypoint))
    assert (found.kind, found.environment_hash, found.packages) == ("project", "abc", 90)
    assert found.digest == "sha256:b"
    assert found.base_entrypoint == ("/start",)
    assert "entry points:\n  main" in found.as_text()
    assert json.loads(json.dumps(found.as_json()))["mlproject"] == MLPROJECT


def test_an_environment_image():
    found = read_image("x", inspected({labels_and_tags.LABEL_ENVIRONMENT_HASH: "abc"}))
    assert (found.kind, found.environment_hash) == ("environment", "abc")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({}, "was not made by container-backend"),
        ({labels_and_tags.LABEL_ENVIRONMENT_HASH: ""}, "was not made by container-backend"),
        ({labels_and_tags.LABEL_MLPROJECT: "{"}, "not JSON"),
        ({labels_and_tags.LABEL_MLPROJECT: "[1]"}, "an object is needed"),
        ({labels_and_tags.LABEL_MLPROJECT: '{"entry_points": 1}'}, "key 'entry_points'"),
        (
            {labels_and_tags.LABEL_MLPROJECT: '{"entry_points": {"main": {}}}'},
            "a command is needed",
        ),
    ],
)
def test_an_image_that_is_none_of_ours_or_says_nonsense(labels, said):
    with pytest.raises(InvalidInput) as caught:
        read_image("team/x:1", inspected(labels))
    assert said in str(caught.value)
    assert "team/x:1" in str(caught.value)
