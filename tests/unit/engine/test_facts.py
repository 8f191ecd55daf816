"""What kind of engine it is, by what engines really answer."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from container_backend.engine.facts import EngineFacts, facts_of, require_api
from container_backend.engine.host import EngineHost
from container_backend.errors import EngineUnavailable

SOCKET = EngineHost("unix:///var/run/docker.sock")
REAL = json.loads((Path(__file__).parent / "answers" / "docker-20.10.json").read_text())
PODMAN = {"Version": "5.4.2", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}


def facts(host: EngineHost = SOCKET, version: dict | None = None, **info: object) -> EngineFacts:
    """Of a real engine, of whose answers some are others."""
    return facts_of(host, {**REAL["version"], **(version or {})}, {**REAL["info"], **info})


def test_docker_as_debian_has_it():
    assert facts() == EngineFacts(
        version="20.10.24+dfsg1",
        api_version="1.41",
        platform="linux/amd64",
        is_local=True,
        is_desktop=False,
        log_driver="json-file",
        is_podman=False,
        is_rootless=False,
        has_user_namespaces=False,
        image_store="overlay2",
        cgroup_version="1",
        cgroup_driver="cgroupfs",
        memory=0,
        limits=frozenset(
            {"memory", "memory-swap", "cpus", "cpu-shares", "cpuset-cpus", "pids-limit"}
        ),
        has_buildkit=True,
        id="",
    )


def test_podman_is_told_by_its_components_and_has_no_buildkit():
    podman = facts(version=PODMAN)
    assert (podman.is_podman, podman.has_buildkit) == (True, False)


@pytest.mark.parametrize(
    ("options", "is_rootless", "has_user_namespaces"),
    [
        (["name=seccomp,profile=default", "name=rootless", "name=cgroupns"], True, False),
        (["name=seccomp,profile=builtin", "name=userns"], False, True),
        (["name=apparmor", "name=seccomp,profile=rootless"], False, False),
        (None, False, False),
    ],
)
def test_who_a_user_in_a_container_is(options, is_rootless, has_user_namespaces):
    found = facts(SecurityOptions=options)
    assert (found.is_rootless, found.has_user_namespaces) == (is_rootless, has_user_namespaces)


@pytest.mark.parametrize(
    ("driver", "status", "store"),
    [
        ("overlay2", [["Backing Filesystem", "extfs"]], "overlay2"),
        ("overlayfs", [["driver-type", "io.containerd.snapshotter.v1"]], "containerd"),
        ("overlay", None, "overlay"),
    ],
)
def test_where_images_are_kept(driver, status, store):
    assert facts(Driver=driver, DriverStatus=status).image_store == store


def test_an_engine_without_control_groups_keeps_no_limit():
    found = facts(
        CgroupDriver="none", MemoryLimit=False, SwapLimit=False, CpuCfsQuota=False,
        CPUShares=False, CPUSet=False, PidsLimit=False,
    )  # fmt: skip
    assert (found.cgroup_driver, found.limits) == ("none", frozenset())


def test_a_limit_that_an_engine_does_not_speak_of_is_none_of_its():
    assert facts(SwapLimit=None).limits == facts().limits - {"memory-swap"}


@pytest.mark.parametrize(
    ("url", "name", "is_local"),
    [
        ("unix:///run/user/1000/docker.sock", "whatever", True),
        ("tcp://127.0.0.1:2375", socket.gethostname(), True),
        ("tcp://localhost:2375", "the end of a tunnel", False),
        ("tcp://build.test:2376", socket.gethostname(), False),
        ("ssh://me@build.test", socket.gethostname(), False),
    ],
)
def test_whose_machine_it_is(url, name, is_local):
    assert facts(EngineHost(url), Name=name).is_local is is_local


def test_docker_desktop_sees_the_files_of_this_machine():
    found = facts(EngineHost("tcp://127.0.0.1:2375"), OperatingSystem="Docker Desktop", Name="vm")
    assert (found.is_desktop, found.is_local) == (True, True)


def test_an_engine_without_buildkit_is_refused_with_its_version_and_the_one_needed():
    host = EngineHost("tcp://old.test:2375")
    old = facts(version={"Version": "17.03.2-ce", "ApiVersion": "1.27"})
    assert not old.has_buildkit
    with pytest.raises(EngineUnavailable) as caught:
        require_api(host, old)
    assert "tcp://old.test:2375 is too old: version 17.03.2-ce" in str(caught.value)
    assert "18.09" in str(caught.value)


@pytest.mark.parametrize("api_version", ["1.39", "1.41", "1.51", "2.0"])
def test_engines_with_buildkit_are_taken(api_version):
    new = facts(version={"ApiVersion": api_version})
    require_api(SOCKET, new)
    assert new.has_buildkit
