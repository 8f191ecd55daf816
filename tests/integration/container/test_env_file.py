"""A file of variables means what it means to the docker command."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from container_backend.container.docker_args import parse_docker_args
from container_backend.errors import InvalidConfig
from tests.support.client import client_of
from tests.support.on_engine import BASE

if TYPE_CHECKING:
    from pathlib import Path

TAKEN = (
    b"\xef\xbb\xbfMARKED=1",
    b"",
    b"# COMMENT=1",
    b"   # COMMENT=2",
    b"PLAIN=1",
    b"  INDENTED=1",
    b"TAIL=a b  ",
    b"TAB=\ta\t",
    b"EMPTY=",
    b"QUOTED=\"a b\" 'c'",
    b"EQUALS=a=b=c",
    b"HASH=a # b",
    b"HASH_FIRST=#b",
    "UMLAUT=é ü".encode(),
    "Ä=1".encode(),
    b"dotted.name-x=1",
    b"BACKSLASH=a\\nb\\",
    b"EXPORT=${HOME}",
    b"OF_THE_USER",
    b"NOT_SET_ANYWHERE",
    b"PLAIN=2",
    b"NUL_FREE=" + b"x" * 5000,
)
REFUSED = (
    b"=1",
    b"A B=1",
    b"export A=1",
    b"A\tB=1",
    b"A =1",
    b"\xff=1",
    b"A=\xff",
    b" =x",
    b"OF THE=",
)


def by_docker(engine, file: Path) -> dict[str, str]:
    """The variables of a container that the docker command creates, beside those of its image."""
    words = ["docker", "create", "--env-file", file, BASE, "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    container = client_of(engine).containers.get(done.stdout.strip())
    try:
        listed = container.attrs["Config"]["Env"]
        own = client_of(engine).images.get(BASE).attrs["Config"]["Env"] or []
    finally:
        container.remove()
    pairs = (each.partition("=") for each in listed if each not in own and "=" in each)
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_file_of_variables_means_what_it_means_to_docker(engine, tmp_path, monkeypatch, ending):
    monkeypatch.setenv("OF_THE_USER", "mine")
    file = tmp_path / "env file"
    file.write_bytes(ending.join(TAKEN))
    found = parse_docker_args({"env-file": str(file)}).environment
    assert found == by_docker(engine, file)
    assert len(found) == 17


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_docker_refuses_is_refused(engine, tmp_path, line):
    file = tmp_path / "env file"
    file.write_bytes(b"A=1\n" + line + b"\n")
    with pytest.raises(subprocess.CalledProcessError):
        by_docker(engine, file)
    with pytest.raises(InvalidConfig, match="env-file"):
        parse_docker_args({"env-file": str(file)})
