"""Each documented docker argument, in the first run of a project: what the program finds of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.container.docker_args import _PARSERS
from tests.support.client import client_of
from tests.support.on_engine import containers_of
from tests.support.projects import EXAMPLE, ROOT
from tests.support.runs import UNTIL_TOLD, kept_log, let_end, only_run
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from container_backend.engine import Engine

# Argument → its value, and a command that succeeds if it holds. Those that this machine has no
# device for are refused by the engine: None.
HOLDS = {
    "add-host": ("there.test:1.2.3.4", "grep -q 1.2.3.4.*there.test /etc/hosts"),
    "cap-add": ("NET_RAW", "grep -q 'CapBnd:.*2000$' /proc/self/status"),
    "cap-drop": ("ALL", "grep -q 'CapEff:.*0000$' /proc/self/status"),
    "cpu-shares": (512, "true"),
    "cpus": (0.5, "true"),
    "cpuset-cpus": ("0", "grep -qP 'Cpus_allowed_list:\t0$' /proc/self/status"),
    "device": ("/dev/null:/dev/other", "test -c /dev/other"),
    "dns": ("192.0.2.1", "grep -q 192.0.2.1 /etc/resolv.conf"),
    "entrypoint": (["env", "GIVEN=yes"], "test $GIVEN = yes"),
    "env": ("GIVEN=yes", "test $GIVEN = yes"),
    "env-file": ("variables", "test $GIVEN = yes"),
    "gpus": ("all", None),
    "group-add": ("12345", "id -G | grep -q 12345"),
    "hostname": ("here", "test $(hostname) = here"),
    "ipc": ("private", "true"),
    "label": ("given=yes", "true"),
    "memory": ("128m", "true"),
    "memory-swap": (-1, "true"),
    "mount": ("type=tmpfs,target=/given", "grep -q 'tmpfs /given' /proc/mounts"),
    "network": ("bridge", "test -d /sys/class/net/eth0"),
    "pid": ("host", "test $$ -gt 9"),
    "pids-limit": (100, "true"),
    "platform": ("linux/amd64", "true"),
    "privileged": (True, "test -e /dev/kmsg"),
    "read-only": (True, "echo x >file && ./run && ! touch /usr/x 2>/dev/null && echo >$HOME/x"),
    "runtime": ("runc", "true"),
    "security-opt": ("no-new-privileges", "grep -qP 'NoNewPrivs:\t1' /proc/self/status"),
    "shm-size": ("32m", "df /dev/shm | grep -q 32768"),
    "tmpfs": ("/given", "grep -q 'tmpfs /given' /proc/mounts"),
    "ulimit": ("nofile=77:99", "test $(ulimit -n) = 77"),
    "user": ("12345:12345", "test $(id -u) = 12345"),
    "volume": ("here:/given", "test -d /given"),
    "workdir": ("/tmp", "test $PWD = /tmp"),
}


@pytest.mark.parametrize("name", sorted(_PARSERS))
def test_each_docker_argument_holds_in_the_first_run(project, workplace, name):
    value, command = HOLDS[name]
    Path("variables").write_text("GIVEN=yes\n")
    here = workplace / "here"
    here.mkdir()
    value = str(here) + value.removeprefix("here") if name == "volume" else value
    folder = project(
        "entry_points: {main: {command: 'python main.py'}}\n",
        main__py=f"import subprocess, sys; sys.exit(subprocess.run({command!r}, shell=True).returncode)",
        run="#!/bin/sh\nexit 0\n",
        unique=os.urandom(8).hex(),
    )
    Path(folder, "run").chmod(0o755)
    if command is None:
        with pytest.raises(container_backend.ContainerError, match="could not be"):
            container_backend.run(folder, docker_args={name: value})
        return
    if name == "workdir":
        Path(folder, "MLproject").write_text(f"entry_points: {{main: {{command: '{command}'}}}}\n")
    run = container_backend.run(folder, docker_args={name: value})
    assert only_run().info.status == "FINISHED"
    assert kept_log(run.run_id) == ""


def test_the_documents_name_each_docker_argument():
    text = Path(ROOT, "docs/running.md").read_text()
    named = re.search(r"mean what `docker run` means: (.*?) and their", text, re.DOTALL).group(1)
    assert set(re.findall(r"`([a-z-]+)`", named)) == set(_PARSERS)


READ_ONLY = {"read-only": True}


@pytest.mark.parametrize("times", [1, 3])
def test_a_read_only_container_has_the_code(project, engine, times):
    """The later runs share the code of the first."""
    folder = project(
        "entry_points: {main: {command: 'cat data/deep && ./run && exit 3'}}\n",
        run="#!/bin/sh\necho ran >made && cat made\n",
        unique=os.urandom(8).hex(),
    )
    Path(folder, "run").chmod(0o755)
    long = Path(folder, "data", "x" * 90, "y" * 90)
    long.mkdir(parents=True)
    (long / "file").write_text("deep\n")
    Path(folder, "data", "deep").symlink_to(Path("x" * 90, "y" * 90, "file"))
    for _ in range(times):
        with pytest.raises(container_backend.RunFailed, match="exit code 3") as raised:
            container_backend.run(folder, docker_args=READ_ONLY)
        assert kept_log(raised.value.run_id) == "deep\nran\n"
        assert containers_of(engine, raised.value.run_id) == []


@pytest.mark.parametrize("times", [1, 3])
def test_read_only_runs_share_their_code(script, times):
    folder = script("open('made', 'w').write('x'); import os; print(os.listdir())")
    for _ in range(times):
        run = container_backend.run(folder, docker_args=READ_ONLY)
        assert "main.py" in kept_log(run.run_id)


def test_the_volumes_of_a_read_only_container_go_with_it(script, engine):
    folder = script(f"import os, time\n{UNTIL_TOLD}")
    args = {**READ_ONLY, "tmpfs": "/tmp"}
    run = container_backend.run(folder, docker_args=args, synchronous=False)
    (container,) = containers_of(engine, run.run_id)
    volumes = {each["Name"] for each in container.attrs["Mounts"] if each["Type"] == "volume"}
    assert volumes <= _volumes(engine)
    let_end(engine, run.run_id)
    assert run.wait()
    wait_until(lambda: not containers_of(engine, run.run_id))
    assert volumes
    assert not volumes & _volumes(engine)


@pytest.mark.slow
def test_a_read_only_container_logs_to_mlflow():
    container_backend.run(str(EXAMPLE), docker_args={**READ_ONLY, "tmpfs": "/tmp"})
    assert only_run().data.metrics


def test_a_read_only_container_whose_image_swallows_the_command(script):
    with pytest.raises(container_backend.RunFailed, match="does not run the command"):
        container_backend.run(script("pass"), docker_args={**READ_ONLY, "entrypoint": "echo"})
    assert only_run().data.tags[labels_and_tags.TAG_CAUSE] == "not_started"


def _volumes(engine: Engine) -> set[str]:
    return {each["Name"] for each in client_of(engine).api.volumes()["Volumes"] or []}
