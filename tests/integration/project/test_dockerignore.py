"""The same patterns leave the same files out of a project and out of a build of the docker command."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.dockerignore import (
    FILES,
    LEFT_OUT,
    LEFT_OUT_BY_BUILDX,
    REFUSED,
    make_files,
)

if TYPE_CHECKING:
    from pathlib import Path


def build(command: str, context: Path) -> subprocess.CompletedProcess[str]:
    """Copy a build context to the folder ``out`` beside it, by BuildKit."""
    (context.parent / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return subprocess.run(
        [command, "build", "-q", "-f", "../Dockerfile", "-o", "type=local,dest=../out", "."],
        cwd=context, env={**os.environ, "DOCKER_BUILDKIT": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture
def docker(tmp_path) -> str:
    """A docker command that builds with BuildKit: newer ones need a plugin for that."""
    for folder in os.get_exec_path():
        command = shutil.which("docker", path=folder)
        if (
            command
            and build(command, make_context(tmp_path / command.strip("/"), "")).returncode == 0
        ):
            return command
    raise AssertionError("No docker command builds with BuildKit: install its plugin buildx.")


def make_context(folder: Path, text: str) -> Path:
    context = folder / "context"
    context.mkdir(parents=True)
    make_files(context)
    (context / ".dockerignore").write_text(text)
    return context


def test_the_docker_command_leaves_out_the_same_files(docker, tmp_path):
    has_buildx = subprocess.run([docker, "buildx", "version"], capture_output=True, check=False)
    table = LEFT_OUT if has_buildx.returncode else {**LEFT_OUT, **LEFT_OUT_BY_BUILDX}
    for number, (text, left_out) in enumerate(table.items()):
        context = make_context(tmp_path / str(number), text)
        done = build(docker, context)
        assert done.returncode == 0, (text, done.stderr)
        out = context.parent / "out"
        found = {name for name in FILES if (out / name).exists()}
        assert {*FILES} - found == left_out, text


def test_the_docker_command_refuses_the_same_patterns(docker, tmp_path):
    for number, text in enumerate(REFUSED):
        assert build(docker, make_context(tmp_path / str(number), text)).returncode != 0, text
