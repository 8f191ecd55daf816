"""Builds that another build, or a removal, disturbs."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from container_backend.environment import EnvironmentSpec, Indexes, Login
from container_backend.errors import NotThere
from container_backend.image import BaseImage, plan_image
from container_backend.image.build import _in_rounds
from container_backend.image.buildkit import BuildFailed
from container_backend.image.rights import build_secrets


@pytest.mark.parametrize(
    "error",
    [
        NotThere("No such image: sha256:…"),
        BuildFailed("unrecognized image ID"),
        BuildFailed("no active sessions"),
        BuildFailed("no active session for jnnyk2: context deadline exceeded"),
    ],
    ids=str,
)
def test_a_disturbed_build_begins_again(error):
    errors = [error] * 9

    def work() -> str:
        if errors:
            raise errors.pop()
        return "built"

    assert _in_rounds(work) == "built"


def test_a_build_that_fails_by_itself_does_not_begin_again():
    rounds = []

    def work() -> None:
        rounds.append(1)
        raise BuildFailed("exit code: 1")

    with pytest.raises(BuildFailed, match="exit code"):
        _in_rounds(work)
    assert len(rounds) == 1


OF_PROJECT = Login("own.test", "project", "1")
OF_MACHINE = Login("mine.test", "me", "2")


def plan(**changes: object):
    spec = EnvironmentSpec(
        python="3.11",
        python_source="",
        requirements=("six",),
        indexes=Indexes(logins=(OF_MACHINE, OF_PROJECT)),
        installer_indexes=Indexes(logins=(OF_MACHINE,)),
    )
    planned = plan_image(spec, BaseImage("b", "sha256:1", "b@sha256:1"), "linux/amd64")
    return replace(planned, **changes)


def logins(secrets: dict[str, bytes], name: str) -> set[str]:
    return {line.split()[1] for line in secrets.get(name, b"").decode().splitlines()}


@pytest.mark.parametrize(
    ("changes", "ours", "packages"),
    [
        ({}, {"mine.test", "own.test"}, {"own.test"}),
        ({"withholds_logins": True}, {"own.test"}, {"own.test"}),
        ({"trusts_packages": True}, {"mine.test", "own.test"}, {"mine.test", "own.test"}),
    ],
)
def test_a_build_gets_the_logins_that_its_project_has_anyway(changes, ours, packages):
    """And those of the machine in its own steps, but for the steps of others."""
    secrets = build_secrets(plan(**changes), {"NETRC": "/dev/null"})
    assert logins(secrets, "netrc") == ours
    assert logins(secrets, "build-netrc") == packages


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, {"proxy"}),
        ({"withholds_logins": True}, set()),
        ({"trusts_packages": True}, {"proxy", "build-proxy"}),
    ],
)
def test_a_proxy_with_a_login_is_a_secret(changes, names):
    environ = {"HTTPS_PROXY": "http://me:it's@proxy.test:3128", "NO_PROXY": "localhost"}
    secrets = build_secrets(plan(**changes), {"NETRC": "/dev/null", **environ})
    found = {name: text.decode() for name, text in secrets.items() if "proxy" in name}
    assert set(found) == names
    for text in found.values():
        assert text == f"export HTTPS_PROXY={shlex.quote(environ['HTTPS_PROXY'])}\n"
