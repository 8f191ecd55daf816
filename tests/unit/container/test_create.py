"""A container as people are shown it before it is made, and the errors of its start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from container_backend.container.create import start_container
from container_backend.container.docker_args import _PARSERS, DockerArgs, parse_docker_args
from container_backend.container.spec import ContainerSpec
from container_backend.errors import ContainerError, EngineError, EngineUnavailable, Refused
from container_backend.project.tar import Owner

SECRETS = ("pa55-word", "pw", "t0ken", "s3cret")


SPEC = ContainerSpec(
    name="name",
    image="image",
    command="python main.py --store http://me:pa55-word@host:5000/x",
    environment={
        "MLFLOW_TRACKING_URI": "http://me:pa55-word@host:5000",
        "SHORT": "http://me:pw@elsewhere",
        "API_TOKEN": "t0ken",
        "DATABASE": "postgresql://host/db?user=me&password=s3cret",
        "PLAIN": "plain",
    },
    labels={},
    mounts=(),
    owner=Owner(1000, 1000),
    network=None,
    groups=(),
    args=DockerArgs(),
)


def test_no_secret_is_in_what_is_shown_of_a_container():
    args = parse_docker_args({"label": "MY_TOKEN=t0ken", "add-host": "http://me:pw@elsewhere:1"})
    shown = replace(SPEC, args=args).describe()
    assert not [secret for secret in SECRETS if secret in shown], shown
    assert "MLFLOW_TRACKING_URI=http://me:***@host:5000" in shown
    assert "PLAIN=plain" in shown
    assert "--store http://me:***@host:5000/x" in shown


# Each docker argument → a value and what is shown of it.
SHOWN = {
    "add-host": ("a:1.2.3.4", "--add-host=a:1.2.3.4"),
    "cap-add": ("SYS_PTRACE", "--cap-add=SYS_PTRACE"),
    "cap-drop": (["ALL", "KILL"], "--cap-drop=ALL --cap-drop=KILL"),
    "cpu-shares": (512, "--cpu-shares=512"),
    "cpus": (1.5, "--cpus=1.5"),
    "cpuset-cpus": ("0-1", "--cpuset-cpus=0-1"),
    "device": ("/dev/null", "--device=/dev/null"),
    "dns": ("1.1.1.1", "--dns=1.1.1.1"),
    "entrypoint": (["/start", "--"], "--entrypoint /start"),
    "env": ("PLAIN=1", "--env PLAIN=plain"),  # the program's variables, which this is one of then
    "env-file": ("/dev/null", "--env PLAIN=plain"),
    "gpus": ("all", "--gpus=all"),
    "group-add": ("audio", "--group-add audio"),
    "hostname": ("h", "--hostname=h"),
    "ipc": ("host", "--ipc=host"),
    "label": ("A=b", "--label=A=b"),
    "memory": ("4g", "--memory=4g"),
    "memory-swap": (-1, "--memory-swap=-1"),
    "mount": ("type=tmpfs,target=/x", "--mount=type=tmpfs,target=/x"),
    "network": ("none", "--network none"),
    "pid": ("host", "--pid=host"),
    "pids-limit": (100, "--pids-limit=100"),
    "platform": ("linux/arm64", "--platform=linux/arm64"),
    "privileged": (True, "--privileged "),
    "read-only": ("true", "--read-only=true"),
    "runtime": ("runsc", "--runtime=runsc"),
    "security-opt": ("seccomp=unconfined", "--security-opt=seccomp=unconfined"),
    "shm-size": ("64m", "--shm-size=64m"),
    "tmpfs": ("/x:size=1m", "--tmpfs=/x:size=1m"),
    "ulimit": ("nofile=10:20", "--ulimit=nofile=10:20"),
    "user": ("7:8", "--user 7:8"),
    "volume": ("/a:/b", "--volume /a:/b"),
    "workdir": ("/w", "--workdir /w"),
}


@pytest.mark.parametrize("name", sorted(_PARSERS))
def test_each_docker_argument_is_shown(name):
    value, shown = SHOWN[name]
    args = parse_docker_args({name: value})
    spec = replace(
        SPEC,
        args=args,
        network=args.network,
        groups=tuple(args.groups),
        entrypoint=args.entrypoint,
    )
    assert f" {shown}" in spec.describe()


class _Containers:
    """An engine that answers each start with an error."""

    def __init__(self, error: EngineError) -> None:
        self.containers = self
        self._error = error

    def start(self, _container: str) -> None:
        raise self._error


def test_a_start_that_the_engine_refuses_is_an_error_of_the_container():
    with pytest.raises(ContainerError, match="could not be started: no such device"):
        start_container(_Containers(Refused("no such device", 500)), "id")


def test_an_engine_that_is_away_at_the_start_is_an_error_of_the_engine():
    away = EngineUnavailable("The engine does not answer: Connection refused")
    with pytest.raises(EngineUnavailable) as caught:
        start_container(_Containers(away), "id")
    assert caught.value is away
