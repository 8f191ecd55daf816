"""Docker arguments that the user did not type."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from container_backend.container.added_args import asked_args, with_defaults
from container_backend.container.docker_args import parse_docker_args
from container_backend.container.store_access import ACCESS_VARIABLES
from container_backend.engine.facts import EngineFacts
from container_backend.environment import DockerEnvironment
from container_backend.errors import InvalidConfig, InvalidProject
from container_backend.privileges import Giver, Permissions
from container_backend.privileges.program import DEFAULT
from tests.support.projects import TRUSTED_FOLDER

if TYPE_CHECKING:
    from pathlib import Path

FACTS = EngineFacts(
    **{field.name: "" for field in fields(EngineFacts)}
    | {"memory": 0, "limits": frozenset({"pids-limit"})}
)


@pytest.mark.parametrize("giver", [Giver.OWN, Giver.FETCHED, Giver.RECORD])
@pytest.mark.parametrize("name", sorted(ACCESS_VARIABLES))
def test_a_project_does_not_say_how_its_store_is_reached(tmp_path, giver, name):
    """Other processes of the user reach the store in the same way, with the user's logins."""
    environment = DockerEnvironment("x", "MLproject", variables=(f"{name}=http://evil.test",))
    given = parse_docker_args({})
    with pytest.raises(InvalidProject, match=f"sets {name}, by which the store"):
        asked_args(given, environment, tmp_path, Permissions(giver))
    asked = asked_args(given, environment, tmp_path, TRUSTED_FOLDER)
    assert asked.environment == {name: "http://evil.test"}


def test_a_volume_behind_a_link_is_the_folder_that_was_checked(tmp_path: Path):
    """Engines take `link/..` for the folder of the link."""
    project = tmp_path / "project"
    (project / "a" / "b").mkdir(parents=True)
    (project / "link").symlink_to("a/b")
    environment = DockerEnvironment("x", "MLproject", volumes=("./link/..:/data",))
    asked = asked_args(parse_docker_args({}), environment, project, Permissions(Giver.OWN))
    assert asked.binds == [f"{project}/a:/data:ro"]
    environment = DockerEnvironment("x", "MLproject", volumes=("./link/../../..:/data",))
    with pytest.raises(InvalidProject, match=r"wants to see \./link/\.\./\.\./\.\."):
        asked_args(parse_docker_args({}), environment, project, Permissions(Giver.OWN))


def test_variables_in_a_volume_are_those_of_this_machine_for_a_trusted_project(
    tmp_path, monkeypatch
):
    """MLflow's own backend leaves them to a shell."""
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.delenv("GONE", raising=False)

    def binds(volume: str, permissions: Permissions) -> list[str]:
        environment = DockerEnvironment("x", "MLproject", volumes=(volume,))
        return asked_args(parse_docker_args({}), environment, tmp_path, permissions).binds

    assert binds("$DATA/in:/in", TRUSTED_FOLDER) == ["/data/in:/in"]
    assert binds("${DATA}:/in:ro", TRUSTED_FOLDER) == ["/data:/in:ro"]
    with pytest.raises(InvalidProject, match=r"wants to see \$DATA/in of this machine"):
        binds("$DATA/in:/in", Permissions(Giver.OWN))
    for wrong in ("$GONE/in:/in", "$(git rev-parse --show-toplevel):/in", "`ls`:/in"):
        with pytest.raises(InvalidProject, match="cannot be read, because no shell reads it"):
            binds(wrong, TRUSTED_FOLDER)


def test_what_is_dropped_is_dropped_beside_the_defaults():
    args = with_defaults(parse_docker_args({"cap-drop": "MKNOD"}), DEFAULT, FACTS)
    assert args.host_config["cap_drop"] == ["ALL", "MKNOD"]
    args = with_defaults(parse_docker_args({"security-opt": "label=disable"}), DEFAULT, FACTS)
    assert args.host_config["security_opt"] == ["no-new-privileges", "label=disable"]
    args = with_defaults(parse_docker_args({"privileged": False}), DEFAULT, FACTS)
    assert args.host_config["cap_drop"] == ["ALL"]


def test_a_limit_that_was_asked_for_is_kept_or_refused(caplog):
    """A default that is missing is only a warning."""
    with pytest.raises(InvalidConfig, match=r"'memory': the engine cannot enforce this limit"):
        with_defaults(parse_docker_args({"memory": "1g", "pids-limit": "5"}), DEFAULT, FACTS)
    args = with_defaults(parse_docker_args({"pids-limit": "5"}), DEFAULT, FACTS)
    assert args.host_config["pids_limit"] == 5
    assert "cannot limit memory" in caplog.text


def test_a_folder_of_the_project_is_not_written_to_unless_it_is_trusted(tmp_path, caplog):
    """What a program writes to a clone, the user runs next: hooks of git, Makefiles."""
    (tmp_path / "data").mkdir()
    volumes = (".:/w", "./data:/data:rw", "./data:/other:ro,z")
    environment = DockerEnvironment("x", "MLproject", volumes=volumes)
    asked = asked_args(parse_docker_args({}), environment, tmp_path, Permissions(Giver.OWN))
    data = f"{tmp_path}/data"
    assert asked.binds == [f"{tmp_path}:/w:ro", f"{data}:/data:ro", f"{data}:/other:z,ro"]
    assert f"-A volume={tmp_path}:/w" in caplog.text
    trusted = asked_args(parse_docker_args({}), environment, tmp_path, TRUSTED_FOLDER)
    assert trusted.binds == [f"{tmp_path}:/w", f"{data}:/data:rw", f"{data}:/other:ro,z"]


def test_a_variable_that_a_project_expects_is_not_left_out(tmp_path, monkeypatch):
    """https://mlflow.org/docs/latest/ml/projects/#docker-container-environments: copied from the host."""
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("GONE", raising=False)
    environment = DockerEnvironment("x", "MLproject", variables=("SET=1", "EMPTY", "GONE"))
    with pytest.raises(InvalidProject, match="the project expects GONE, which is not set"):
        asked_args(parse_docker_args({}), environment, tmp_path, TRUSTED_FOLDER)
    given = parse_docker_args({"env": "GONE=typed"})
    asked = asked_args(given, environment, tmp_path, TRUSTED_FOLDER)
    assert asked.environment == {"SET": "1", "EMPTY": ""}
