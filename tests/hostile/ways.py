"""The ways in: how a project of another person comes to this machine."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest

from container_backend.engine import connect
from tests.hostile_git import git
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.projects import TRUST
from tests.support.servers import git_over_https

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    Way = Callable[[Path], AbstractContextManager[str]]


@contextlib.contextmanager
def folder(project: Path) -> Iterator[str]:
    """A clone whose folder the user types."""
    yield str(project)


@contextlib.contextmanager
def archive(project: Path) -> Iterator[str]:
    yield shutil.make_archive(str(project.with_name("project")), "zip", project)


@contextlib.contextmanager
def repository(project: Path) -> Iterator[str]:
    """A git repository on a server."""
    served = project.with_name("served")
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", "--all", "--force")
    git(project, "commit", "--quiet", "--message", "first")
    git(project, "clone", "--quiet", "--bare", ".", str(served / "project.git"))
    with (
        git_over_https(served, project.parent) as (address, certificate),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("GIT_SSL_CAINFO", str(certificate))
        yield f"{address}/project.git"


@contextlib.contextmanager
def image(project: Path) -> Iterator[str]:
    """A project image, which another person has built."""
    tag = f"hostile:{uuid.uuid4().hex}"
    run_command("container-backend", "build", str(project), "-t", tag, *TRUST, check=True)
    try:
        yield f"docker://{tag}"
    finally:
        with contextlib.closing(connect()) as engine:
            remove_images(engine, tag)


WAYS: dict[str, Way] = {"folder": folder, "zip": archive, "git": repository, "image": image}
FETCHED = ("zip", "git", "image")
