"""Projects that reach for the user's machine, by the ways in for projects with files."""

from __future__ import annotations

import json
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend.project import source
from tests.hostile.ways import WAYS
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.projects import TRUST, TRUSTED
from tests.support.runs import runs
from tests.support.worker import BASE

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Loot:
    """What is not the project's: a file in a folder, and a variable, with the same secret."""

    folder: Path
    secret: str

    @property
    def file(self) -> Path:
        return self.folder / "secret"


@pytest.fixture
def loot(tmp_path, monkeypatch) -> Loot:
    found = Loot(tmp_path / "of mine", secrets.token_hex())
    found.folder.mkdir()
    found.file.write_text(f"{found.secret}\n")
    monkeypatch.setenv("OF_MINE", found.secret)
    return found


def default_of_a_path(project: Path, loot: Loot) -> str:
    return (
        "entry_points: {main: {parameters: {a: {type: path, default: "
        f"'{loot.file}'}}}}, command: 'cat {{a}}'}}}}"
    )


def default_beside_the_project(project: Path, loot: Loot) -> str:
    return default_of_a_path(project, Loot(Path("..", loot.folder.name), ""))


def volume(project: Path, loot: Loot) -> str:
    return (
        f"docker_env: {{image: '{BASE}', volumes: ['{loot.folder}:/loot']}}\n"
        "entry_points: {main: {command: 'cat /loot/secret'}}"
    )


def variable(project: Path, loot: Loot) -> str:
    return (
        f"docker_env: {{image: '{BASE}', environment: [OF_MINE]}}\n"
        "entry_points: {main: {command: 'echo $OF_MINE'}}"
    )


REACHING = (default_of_a_path, default_beside_the_project, volume, variable)
# The label of a project image names no folder: it was made on another machine.
BY_WAY = [
    pytest.param(
        *(way, attack),
        # Of each kind one; `slow` has all ways.
        marks=[] if way == "zip" else [pytest.mark.slow],
    )
    for way in WAYS
    for attack in REACHING
    if (way, attack) != ("image", volume)
]


def quickly(first: str, *others: str) -> list[object]:
    """The first of some values; the others are slow, and of the same kind."""
    slow = [pytest.param(each, marks=pytest.mark.slow) for each in others if each != first]
    return [first, *slow]


def write(project: Path, attack: Callable[[Path, Loot], str], loot: Loot) -> None:
    project.mkdir()
    (project / "MLproject").write_text(f"name: evil\n{attack(project, loot)}\n")


@pytest.mark.parametrize(
    ("way", "attack"), BY_WAY, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_project_gets_nothing_that_its_files_alone_name(
    way, attack, loot, tmp_path, capfd, monkeypatch
):
    write(tmp_path / "project", attack, loot)
    monkeypatch.chdir(tmp_path / "project")  # what is relative to it is found
    with WAYS[way](tmp_path / "project") as uri:
        with pytest.raises(container_backend.InvalidProject) as caught:
            container_backend.run(uri)
        assert "key '" in caught.value.message
        assert "trust_project" in str(caught.value)
        assert loot.secret not in str(caught.value) + "".join(capfd.readouterr())
        assert runs() == []
        # The control: without the guard, the same project has it.
        container_backend.run(uri, backend_config=TRUSTED)
        assert loot.secret in capfd.readouterr().out


KEYS = """
trust_project: true
privileges: trusted
allow_engine: true
backend_config: {trust_project: true}
docker_args: {privileged: true}
"""


@pytest.mark.parametrize("way", quickly("folder", "zip"))
def test_no_key_of_a_project_changes_what_it_is_allowed(way, loot, tmp_path):
    def attack(project: Path, loot: Loot) -> str:
        for name in ("backend_config.json", "container-backend.json", ".container-backend.json"):
            (project / name).write_text('{"trust_project": true}')
        return KEYS + default_of_a_path(project, loot)

    write(tmp_path / "project", attack, loot)
    refused = pytest.raises(container_backend.InvalidProject)
    with WAYS[way](tmp_path / "project") as uri, refused as caught:
        container_backend.run(uri)
    assert "trust_project" in str(caught.value)
    assert runs() == []


@pytest.mark.slow
def test_a_project_image_gets_no_folder_that_its_label_names(loot, tmp_path, capfd):
    write(tmp_path / "project", volume, loot)
    with WAYS["image"](tmp_path / "project") as uri, pytest.raises(container_backend.RunFailed):
        container_backend.run(uri, backend_config=TRUSTED)
    assert loot.secret not in "".join(capfd.readouterr())


@pytest.mark.parametrize("way", quickly("folder", *WAYS))
def test_no_program_gets_the_folder_of_the_store(way, own_store, tmp_path, capfd):
    (own_store.parent / "diary").write_text("of mine\n")

    def attack(_project: Path, _loot: Loot) -> str:
        return f"entry_points: {{main: {{command: \"cat '{own_store.parent}/diary'\"}}}}"

    write(tmp_path / "project", attack, Loot(tmp_path, ""))
    with WAYS[way](tmp_path / "project") as uri:
        for config in ({}, TRUSTED):
            with pytest.raises(container_backend.RunFailed):
                container_backend.run(uri, backend_config=config)
        assert "of mine" not in capfd.readouterr().out
        # The control: what the user types is there.
        volume = f"{own_store.parent}:{own_store.parent}:ro"
        container_backend.run(uri, docker_args={"volume": volume})
        assert "of mine" in capfd.readouterr().out


@pytest.mark.parametrize("way", quickly("zip", "folder", "git"))
def test_a_template_reads_no_file_of_this_machine(way, loot, tmp_path, monkeypatch):
    """Not even one that the user trusts."""
    levels = "../" * 20

    def attack(project: Path, loot: Loot) -> str:
        (project / "Dockerfile.j2").write_text(
            "{% block final %}\n{{ super() }}\nENV LOOT={% include "
            f"'{levels}{loot.file}' %}}\n{{% endblock %}}\n"
        )
        return "entry_points: {main: {command: 'echo $LOOT'}}"

    write(tmp_path / "project", attack, loot)
    with WAYS[way](tmp_path / "project") as uri:
        done = run_command("container-backend", "run", uri, *TRUST)
        assert done.returncode == 2
        assert "there is no template" in done.stderr
        assert loot.secret not in done.stdout + done.stderr
        done = run_command("container-backend", "run", uri, *TRUST, "--dry-run")
        assert done.returncode == 2
        assert loot.secret not in done.stdout + done.stderr


@pytest.mark.parametrize("way", quickly("zip", "git"))
def test_a_fetched_project_changes_no_step_of_its_build(way, tmp_path, capfd, engine):
    def attack(project: Path, _loot: Loot) -> str:
        (project / "Dockerfile.j2").write_text(
            "{% block final %}\n{{ super() }}\nRUN id -u > /who\n{% endblock %}\n"
        )
        return "entry_points: {main: {command: 'cat /who'}}"

    write(tmp_path / "project", attack, Loot(tmp_path, ""))
    with WAYS[way](tmp_path / "project") as uri:
        with pytest.raises(container_backend.InvalidProject) as caught:
            container_backend.build(uri)
        assert "Dockerfile.j2" in caught.value.message
        assert "trust_project" in str(caught.value)
        assert runs() == []
        container_backend.run(uri, backend_config=TRUSTED)
        assert capfd.readouterr().out == "0\n"


# What a program has of capabilities, and whether it may get more.
STATUS = (
    "entry_points: {main: {command: 'grep -E \"^(CapEff|CapBnd|NoNewPrivs)\" /proc/self/status'}}"
)


def test_a_program_has_no_capability_and_gets_none(project, capfd):
    folder = project(STATUS)
    container_backend.run(folder)
    lines = dict(line.split(":\t") for line in capfd.readouterr().out.splitlines())
    assert {name: int(value, 16) for name, value in lines.items()} == {
        "CapEff": 0, "CapBnd": 0, "NoNewPrivs": 1,
    }  # fmt: skip
    container_backend.run(folder, backend_config={"privileges": "trusted"})
    assert "CapBnd:\t0000000000000000" not in capfd.readouterr().out


def test_a_program_cannot_start_more_processes_than_its_limit(project, capfd):
    # Of either version of control groups.
    files = "/sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max"
    folder = project(f"entry_points: {{main: {{command: 'cat {files} 2>/dev/null || true'}}}}")
    container_backend.run(folder)
    assert capfd.readouterr().out == "4096\n"
    container_backend.run(folder, backend_config={"privileges": "trusted"})
    assert capfd.readouterr().out == "max\n"


def test_a_strict_run_has_no_network(project, capfd, monkeypatch):
    folder = project("entry_points: {main: {command: 'ls /sys/class/net'}}")
    container_backend.run(folder, backend_config={"privileges": "strict"})
    assert capfd.readouterr().out.split() == ["lo"]
    container_backend.run(folder)
    assert "eth0" in capfd.readouterr().out.split()


@pytest.mark.parametrize("name", quickly("apt.txt", "requirements.txt", "data/deep"))
def test_a_link_of_a_fetched_project_leads_to_no_file_of_this_machine(name, loot, tmp_path):
    def attack(project: Path, loot: Loot) -> str:
        (project / "data").mkdir()
        (project / name).symlink_to(loot.file)
        return "entry_points: {main: {command: 'true'}}"

    write(tmp_path / "project", attack, loot)
    with WAYS["git"](tmp_path / "project") as uri:
        done = run_command("container-backend", "run", uri, *TRUST)
    assert done.returncode == 2
    assert f"'{name}' in the project" in done.stderr
    assert "outside of the project" in done.stderr
    assert loot.secret not in done.stdout + done.stderr


@pytest.mark.slow
def test_without_the_guard_the_file_behind_a_link_is_read(loot, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "_check_links", lambda *_: None)

    def attack(project: Path, loot: Loot) -> str:
        (project / "apt.txt").symlink_to(loot.file)
        return "entry_points: {main: {command: 'true'}}"

    write(tmp_path / "project", attack, loot)
    with WAYS["git"](tmp_path / "project") as uri:
        with pytest.raises(container_backend.BuildError) as caught:
            container_backend.build(uri, backend_config=TRUSTED)
        assert f"Unable to locate package {loot.secret}" in str(caught.value)


NAME = "a\x1b[2J\u202eb\nc"


def test_the_name_of_a_project_moves_nothing_on_a_terminal(project, engine, tmp_path):
    text = "docker_env: {image: '%s'}\nentry_points: {main: {command: 'true'}}\n"
    folder = project(f"name: {json.dumps(NAME)}\n{text % BASE}")
    tag = f"hostile:{uuid.uuid4().hex}"
    run = container_backend.run(folder, backend_config={"keep": "always"})
    run_command("container-backend", "build", folder, "-t", tag, check=True)
    try:
        for words in (["ps", "-a"], ["status", run.run_id], ["images"], ["inspect", tag]):
            said = run_command("container-backend", *words, check=True).stdout
            assert not {"\x1b", "\u202e"} & set(said), words
            if words[0] in {"ps", "inspect"}:  # the control: the name is among what is shown
                assert r"a\x1b[2J\u202eb\nc" in said, said
    finally:
        remove_images(engine, tag)
        client_of(engine).api.remove_container(run.container_id, force=True)
