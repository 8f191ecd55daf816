"""Who may ask for what of this machine, and what a program is given."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from container_backend.config import BackendConfig
from container_backend.container.docker_args import _PARSERS
from container_backend.errors import InvalidConfig, InvalidProject
from container_backend.privileges import (
    REFUSED_ARGS,
    Giver,
    Permissions,
    Right,
    check_engine,
    check_record,
    check_special_files,
    check_template,
    check_variables,
    check_volumes,
    default_args,
    engine_sockets,
    missing_limits,
    needs_any_file,
    network_of_program,
    user_of_program,
)
from container_backend.privileges import TRUSTED as TRUSTED_LEVEL
from container_backend.privileges.program import DEFAULT, STRICT
from container_backend.privileges.table import ALLOWED, NO, PRIVILEGES, YES
from container_backend.project.command import compute_command
from container_backend.project.confine import confine_paths
from container_backend.project.entry_points import EntryPoint, Project
from container_backend.project.parameters import Parameter

OWN = Permissions(Giver.OWN)
FETCHED = Permissions(Giver.FETCHED)
REPEATED = Permissions(Giver.RECORD)
TRUSTED = [Permissions(each.giver, trusted=True) for each in (OWN, FETCHED, REPEATED)]
WHERE = "MLproject, key 'docker_env'"


@pytest.mark.parametrize(
    ("permissions", "remedy"),
    [
        (OWN, '{"trust_project": true}'),
        (FETCHED, '{"trust_project": true}'),
        (REPEATED, "--trust"),
    ],
)
def test_folders_and_variables_are_refused_with_what_would_allow_them(permissions, remedy):
    with pytest.raises(InvalidProject) as caught:
        check_volumes(WHERE, ["/home:/home", "./data:/data:ro"], permissions)
    assert "key 'volumes'" in str(caught.value)
    assert "wants to see /home, ./data of this machine" in str(caught.value)
    assert "-A volume=/home:/home -A volume=./data:/data:ro" in str(caught.value)
    assert remedy in str(caught.value)
    with pytest.raises(InvalidProject) as caught:
        check_variables(WHERE, ["A_TOKEN", "SET=1", "DB_PASS"], (), permissions)
    assert "key 'environment'" in str(caught.value)
    assert "the values of A_TOKEN, DB_PASS of your environment" in str(caught.value)
    assert "-A env=A_TOKEN -A env=DB_PASS" in str(caught.value)
    assert remedy in str(caught.value)


def test_pairs_and_what_the_user_gives_anyway_are_not_asked_for():
    check_variables(WHERE, ["SET=1", "EMPTY=", "TYPED"], {"TYPED": "x"}, FETCHED)
    check_volumes(WHERE, [], FETCHED)


@pytest.mark.parametrize("permissions", TRUSTED)
def test_a_project_that_is_trusted_may_ask_for_folders_and_variables(permissions):
    check_volumes(WHERE, ["/home:/home"], permissions)
    check_variables(WHERE, ["A_TOKEN"], (), permissions)


def test_only_the_users_own_template_changes_a_build():
    file = Path("/x/Dockerfile.j2")
    for permissions in (OWN, *TRUSTED):
        check_template(file, permissions)
    with pytest.raises(
        InvalidProject, match=r"/x/Dockerfile\.j2: this project was fetched, and wants"
    ):
        check_template(file, FETCHED)


@pytest.fixture
def directory(tmp_path) -> Path:
    """A fetched project, beside a file of the user's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "private").touch()
    (folder / "data.csv").touch()
    (folder / "link").symlink_to("../private")
    (folder / "circle").symlink_to("circle")
    (folder / "inside").symlink_to("data.csv")
    return folder


def confined(directory: Path, default: str, permissions: Permissions, **values: str):
    entry_point = EntryPoint("main", "run {d}", {"d": Parameter("d", "path", default)})
    project = Project(None, directory, directory / "MLproject", {"main": entry_point}, {})
    typed = set() if permissions.giver is Giver.RECORD else set(values)
    allowed = confine_paths(project, entry_point, values, typed, permissions)
    return compute_command(project, allowed, values, directory / "storage")


@pytest.mark.parametrize("permissions", [OWN, FETCHED, REPEATED])
@pytest.mark.parametrize(
    "default",
    [
        *("/etc/passwd", "~", "~/.ssh", "~no-such-user/x", "../private", "a/../../private", ".."),
        *("file:///etc/passwd", "FILE:/etc/passwd", "link", "link/x", "/no/such/file", "a\0b"),
    ],
)
def test_a_default_outside_of_the_project_is_refused_there_or_not(directory, default, permissions):
    with pytest.raises(InvalidProject) as caught:
        confined(directory, default, permissions)
    assert f"{directory}/MLproject, key 'entry_points.main.parameters.d.default'" in str(
        caught.value
    )
    assert f"names '{default}', which is outside the project" in str(caught.value)
    assert permissions.remedy in str(caught.value)


@pytest.mark.parametrize("default", ["data.csv", "inside", "a/../data.csv", ".", "gone", ""])
def test_a_default_in_the_project_is_never_a_path_of_this_machine(directory, default, monkeypatch):
    monkeypatch.chdir(directory)
    made = confined(directory, default, FETCHED)
    assert (made.paths, made.downloads) == ((), ())
    assert made.parameters == {"d": default}
    assert made.line == f"run {default}" if default else "run ''"


@pytest.mark.parametrize("default", ["data.csv", "inside", "a/../data.csv", "."])
def test_a_default_in_a_folder_of_the_user_is_of_that_folder(directory, default, monkeypatch):
    """Wherever the command was typed."""
    monkeypatch.chdir(directory.parent)
    (directory / "a").mkdir()
    (path,) = confined(directory, default, OWN).paths
    assert path.samefile(directory / default)


@pytest.mark.parametrize("permissions", [OWN, FETCHED, REPEATED])
def test_a_default_may_be_an_address_of_a_public_server(directory, permissions):
    (download,) = confined(directory, "https://h.test/data.csv", permissions).downloads
    assert (download.uri, download.is_public) == ("https://h.test/data.csv", True)
    (typed,) = confined(directory, "x", FETCHED, d="https://h.test/data.csv").downloads
    assert not typed.is_public


@pytest.mark.parametrize("permissions", [OWN, FETCHED, REPEATED])
@pytest.mark.parametrize("default", ["s3://bucket/x", "runs:/0/x", "dbfs:/x", "ftp://h/x"])
def test_a_default_is_not_read_with_the_logins_of_the_user(directory, default, permissions):
    with pytest.raises(InvalidProject, match="which is read with your logins"):
        confined(directory, default, permissions)
    assert [each.uri for each in confined(directory, default, TRUSTED[0]).downloads] == [default]


def test_what_the_user_types_may_be_anywhere(directory):
    private = directory.parent / "private"
    assert confined(directory, "/etc/passwd", FETCHED, d=str(private)).paths == (private,)
    assert confined(directory, str(private), TRUSTED[0]).paths == (private,)


def test_a_path_of_a_record_was_not_typed(directory):
    private = str(directory.parent / "private")
    with pytest.raises(InvalidProject, match=r"parameters\.d': this project comes from a run's"):
        confined(directory, "data.csv", REPEATED, d=private)


def test_a_path_is_no_socket_pipe_or_device(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    check_special_files("MLproject", [tmp_path, tmp_path / "file", tmp_path / "gone"])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        (tmp_path / "link").symlink_to("socket")
        for name, kind in (
            ("socket", "a socket"), ("link", "a socket"), ("pipe", "a pipe"), ("/dev/null", "a device"),
        ):  # fmt: skip
            with pytest.raises(InvalidProject, match=f"MLproject: the path .* is {kind};"):
                check_special_files("MLproject", [tmp_path / name])


def test_the_engines_socket_is_refused_by_whatever_path(tmp_path):
    run = tmp_path / "run"
    (run / "deep").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "var").symlink_to("run")
    (run / "deep" / "engine").touch()
    (run / "link").symlink_to("deep/engine")
    sockets = (tmp_path / "var" / "deep" / "engine",)
    for name in ("run/deep/engine", "var/deep/engine", "run/link", "run/deep", "run", "var", "."):
        with pytest.raises(InvalidProject) as caught:
            check_engine("MLproject", [tmp_path / name], sockets)
        assert "allow_engine" in str(caught.value)
    check_engine("MLproject", [tmp_path / "other", tmp_path / "gone"], sockets)


@pytest.mark.parametrize("path", ["/run", "/var/run", "/run/containerd"])
def test_the_folders_of_engines_are_refused_whichever_engine_is_used(path):
    with pytest.raises(InvalidProject, match="as good as root"):
        check_engine("MLproject", [Path(path)], engine_sockets("tcp://elsewhere:2375"))


# Each reaches into the machine: a new docker argument is one until it is said to be harmless.
REACHING = {
    *("cap-add", "device", "env-file", "group-add", "ipc", "mount", "network", "pid", "privileged"),
    *("runtime", "security-opt", "user", "volume"),
}


@pytest.mark.parametrize("name", sorted({*_PARSERS, "unknown"} - {"env"}))
def test_a_record_may_name_docker_arguments_that_stay_in_the_container(name):
    if name not in REACHING | {"unknown"}:
        return check_record("The run 'x'", {name: ["1"]}, {})
    with pytest.raises(InvalidConfig, match=f"The run 'x' was allowed .*'{name}'"):
        check_record("The run 'x'", {name: ["1"]}, {})
    return None


def test_a_record_names_variables_only_with_their_values():
    check_record("The run 'x'", {"env": ["A=1", "B="]}, {})
    with pytest.raises(InvalidConfig) as caught:
        check_record("The run 'x'", {"env": ["A=1", "B_TOKEN", "C"]}, {})
    assert "the values of B_TOKEN, C of the environment" in str(caught.value)
    assert "-A env=B_TOKEN -A env=C" in str(caught.value)


@pytest.mark.parametrize("key", sorted(BackendConfig.model_fields))
def test_a_record_has_no_setting_that_reaches_into_the_machine(key):
    harmless = {"timeout", "stop_signal", "grace", "retries", "retry_program", "keep",
                "record_code", "system_metrics"}  # fmt: skip
    if key in harmless:
        return check_record("The run 'x'", {}, {key: "1"})
    with pytest.raises(InvalidConfig, match=f"'{key}' in the backend config"):
        check_record("The run 'x'", {}, {key: "1"})
    return None


def test_every_docker_argument_and_every_setting_has_one_place_in_the_table():
    arguments = [name for row in PRIVILEGES for name in (*row.contained, *row.reaching)]
    assert sorted(arguments) == sorted(_PARSERS)
    settings = [name for row in PRIVILEGES for name in (*row.record_settings, *row.user_settings)]
    assert sorted(settings) == sorted(BackendConfig.model_fields)
    assert not set(REFUSED_ARGS) & set(_PARSERS)
    switches = {row.switch for row in PRIVILEGES if row.switch}
    assert switches <= set(BackendConfig.model_fields)


def test_the_documented_table_is_the_one_that_decides():
    def words(*names: str) -> str:
        return ", ".join(f"`{name}`" for name in sorted(names))

    told = (Path(__file__).parents[3] / "docs" / "running.md").read_text()
    for row in PRIVILEGES:
        cells = (
            row.kind,
            words(*row.contained, *row.record_settings),
            words(*row.reaching, *row.user_settings),
            words(*row.project),
            words(*[row.switch] if row.switch else []),
        )
        line = re.sub(" +", " ", f"| {' | '.join(cells)} |")
        assert f"\n{line}\n" in told, line


def test_root_is_given_only_where_it_writes_to_this_machine():
    assert user_of_program(writes=False, uid=0) == (1000, 1000)
    assert user_of_program(writes=True, uid=0) == (0, os.getgid())
    assert user_of_program(writes=False, uid=1234) == (1234, os.getgid())


GIB = 1024**3
ALL = frozenset({"memory", "pids-limit"})


def test_a_program_has_limits_and_no_capability():
    assert default_args((), DEFAULT, 16 * GIB, ALL) == {
        "cap-drop": ["ALL"],
        "security-opt": ["no-new-privileges"],
        "ipc": "private",
        "pids-limit": 4096,
        "memory": 15 * GIB,
    }
    assert default_args((), DEFAULT, GIB, ALL)["memory"] == GIB - GIB // 4
    assert "memory" not in default_args((), DEFAULT, 0, ALL)
    assert default_args((), STRICT, 0, ALL)["network"] == "none"
    assert default_args((), TRUSTED_LEVEL, GIB, ALL) == {"security-opt": ["no-new-privileges"]}


def test_what_the_user_types_replaces_a_default():
    typed = {"memory", "cap-drop", "ipc", "security-opt", "pids-limit", "network"}
    added = {"cap-drop": ["ALL"], "security-opt": ["no-new-privileges"]}
    assert default_args(typed, STRICT, GIB, ALL) == added
    assert "memory" not in default_args({"memory-swap"}, DEFAULT, GIB, ALL)
    assert set(default_args({"privileged"}, DEFAULT, 16 * GIB, ALL)) == {"pids-limit", "memory"}


def test_a_limit_that_the_engine_lacks_is_left_out_and_named():
    given = default_args((), DEFAULT, GIB, {"memory"})
    assert "memory" in given
    assert "pids-limit" not in given
    assert missing_limits((), {"memory"}) == ["pids-limit"]
    assert missing_limits({"pids-limit"}, {"memory"}) == []


def test_the_table_has_an_answer_for_everybody_and_every_right():
    for giver in Giver:
        assert set(ALLOWED[giver]) == set(Right)
    answers = {answer for rights in ALLOWED.values() for answer in rights.values()}
    assert answers <= {YES, NO, *BackendConfig.model_fields}


def test_the_network_of_this_machine_is_given_only_for_a_server_on_it():
    assert network_of_program(None, only_here=False) is None
    assert network_of_program(None, only_here=True) == "host"
    assert network_of_program("mine", only_here=True) == "mine"


def test_a_record_does_not_say_how_a_store_is_reached():
    access = {"MLFLOW_S3_ENDPOINT_URL"}
    check_record("The run 'x'", {"env": ["A=1"]}, {}, access)
    with pytest.raises(InvalidConfig, match="the variable MLFLOW_S3_ENDPOINT_URL"):
        check_record(
            "The run 'x'", {"env": ["MLFLOW_S3_ENDPOINT_URL=http://evil.test"]}, {}, access
        )


def test_root_needs_more_for_a_folder_of_another_user(tmp_path):
    """Without capabilities, root writes to no file of another user."""
    assert not needs_any_file([tmp_path], 0)
    os.chown(tmp_path, 1000, 1000)
    assert needs_any_file([tmp_path, tmp_path / "missing"], 0)
    assert not needs_any_file([tmp_path], 1000)


def test_root_of_a_rootless_engine_is_its_user():
    assert user_of_program(writes=True, is_rootless=True, uid=1234) == (0, 0)
    assert user_of_program(writes=False, is_rootless=True, uid=1234) == (1000, 1000)
