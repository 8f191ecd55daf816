"""MLproject files."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.errors import InvalidProject
from container_backend.project.command import compute_command
from container_backend.project.mlproject import read_project
from container_backend.project.parameters import Parameter

if TYPE_CHECKING:
    from container_backend.project.entry_points import Project


def project(root, text: str) -> Project:
    (root / "MLproject").write_text(text, encoding="utf-8")
    return read_project(root, ENVIRONMENT_KEYS)


def test_entry_points_and_parameters(tmp_path):
    read = project(
        tmp_path,
        "name: x\nentry_points:\n  main:\n    command: run {a} {b} {c}\n"
        "    parameters: {a: int, b: {type: float, default: 0.5}, c: {default: null}}\n",
    )
    assert read.entry_point("main").parameters == {
        "a": Parameter("a", "int", None),
        "b": Parameter("b", "float", "0.5"),
        "c": Parameter("c", "string", None),
    }


def test_the_case_of_the_file_name_does_not_matter(tmp_path):
    (tmp_path / "mlProject").write_text("name: x\n")
    assert read_project(tmp_path, ENVIRONMENT_KEYS).name == "x"


def test_a_folder_without_mlproject_is_a_project_of_scripts(tmp_path):
    (tmp_path / "my script.py").touch()
    read = read_project(tmp_path, ENVIRONMENT_KEYS)
    assert read.entry_point("my script.py").command == "python 'my script.py'"
    with pytest.raises(InvalidProject, match="there is no entry point 'main'"):
        read.entry_point("main")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [\n", "not YAML: line 2, column 1"),
        ("- a\n", "a mapping (key: value) is needed, not a list"),
        ("just text\n", "a mapping (key: value) is needed, not 'just text'"),
        ("name: [a]\n", "key 'name'"),
        ("entry_points: [main]\n", "key 'entry_points': a mapping is needed, not a list"),
        ("entry_points: {main: python x.py}\n", "key 'entry_points.main'"),
        ("entry_points: {main: {}}\n", "key 'entry_points.main.command'"),
        (
            "entry_points: {main: {command: x, parameters: {a: [1]}}}\n",
            "key 'entry_points.main.parameters.a'",
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_said_with_its_key(tmp_path, text, message):
    with pytest.raises(InvalidProject) as caught:
        project(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path / "MLproject") in str(caught.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "MLproject").write_bytes(b"name: \xff\n")
    with pytest.raises(InvalidProject, match="not UTF-8"):
        read_project(tmp_path, ENVIRONMENT_KEYS)


def test_an_unknown_entry_point_is_told_from_the_known_ones(tmp_path):
    read = project(tmp_path, "entry_points: {train: {command: x}, evaluate: {command: y}}\n")
    with pytest.raises(InvalidProject) as caught:
        read.entry_point("trian")
    assert "'train', 'evaluate'" in str(caught.value)
    assert "Did you mean 'train'?" in str(caught.value)


def test_what_mlflow_ignores_is_said_once_each(tmp_path, caplog):
    read = project(
        tmp_path,
        "name: x\nentry_point: {}\nentry_points:\n  main:\n    command: x\n    cmd: y\n"
        "    description: does it\n"
        "    parameters: {a: {type: int, default: 1, description: how many, defualt: 2}}\n",
    )
    assert [record.getMessage().partition("key ")[2] for record in caplog.records] == [
        "'entry_point': unknown and ignored (did you mean 'entry_points'?)",
        "'entry_points.main.cmd': unknown and ignored (did you mean 'command'?)",
        "'entry_points.main.parameters.a.defualt': unknown and ignored (did you mean 'default'?)",
    ]
    entry_point = read.entry_point("main")
    assert entry_point.description == "does it"
    assert entry_point.parameters["a"].description == "how many"


def test_a_key_without_a_space_after_the_colon_is_explained(tmp_path, caplog):
    project(
        tmp_path,
        "entry_points:\n  main:\n    command: x\n    parameters:\n      a: {type:float, default:0.1}\n",
    )
    assert [message.rpartition("ignored ")[2] for message in caplog.messages] == [
        "(put a space after the colon: 'type: float')",
        "(put a space after the colon: 'default: 0.1')",
    ]


@pytest.mark.parametrize(
    ("written", "name"), [("2024", "2024"), ("1.50", "1.5"), ("2024-01-02", "2024-01-02")]
)
def test_a_name_may_look_like_a_number(tmp_path, written, name):
    assert project(tmp_path, f"name: {written}\n").name == name


def test_an_entry_point_may_have_an_environment_of_its_own(tmp_path):
    read = project(
        tmp_path,
        "python_env: a.yaml\nentry_points: {main: {command: x, python_env: b.yaml}}\n",
    )
    assert read.environment == {"python_env": "a.yaml"}
    assert read.entry_point("main").environment == {"python_env": "b.yaml"}


def test_a_script_of_r_is_run_by_the_package_of_mlflow(tmp_path):
    (tmp_path / "train it.R").touch()
    read = read_project(tmp_path, ENVIRONMENT_KEYS)
    command = compute_command(read, read.entry_point("train it.R"), {"n": 1}, tmp_path).line
    assert shlex.split(command) == [
        *("Rscript", "-e", 'mlflow::mlflow_source("train it.R")', "--args", "--n", "1")
    ]


def test_a_script_may_have_braces_in_its_name(tmp_path):
    (tmp_path / "a{b}.py").touch()
    read = read_project(tmp_path, ENVIRONMENT_KEYS)
    command = compute_command(read, read.entry_point("a{b}.py"), {}, tmp_path).line
    assert command == "python 'a{b}.py'"


def test_a_script_outside_of_the_project_is_no_entry_point(tmp_path):
    (tmp_path / "outside.py").touch()
    (tmp_path / "inside").mkdir()
    with pytest.raises(InvalidProject, match="no entry point"):
        read_project(tmp_path / "inside", ENVIRONMENT_KEYS).entry_point("../outside.py")


def lines(count: int) -> str:
    return "".join(f"key{number}: value {number}\n" for number in range(count))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines(250_000), "bytes are too many"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{name}: &{name} [{','.join(f'*{below}' for _ in range(9))}]\n"
                for below, name in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "its aliases",
        ),
        ("a: &a [*a]\n", "its aliases"),
        ("a: " + "[" * 100_000, "MLproject"),
    ],
    ids=["5 MB", "aliases that explode", "an alias in itself", "nested without end"],
)
@pytest.mark.timeout(30)  # otherwise it takes minutes, or all memory
def test_a_file_that_is_made_to_do_harm_is_refused(tmp_path, text, message):
    with pytest.raises(InvalidProject) as caught:
        project(tmp_path, text)
    assert message in str(caught.value)
    assert str(tmp_path / "MLproject") in str(caught.value)


def test_aliases_that_do_no_harm_are_read(tmp_path):
    read = project(
        tmp_path,
        "entry_points:\n  a: &a {command: x}\n  b: *a\n",
    )
    assert read.entry_point("b").command == "x"


def test_a_databricks_job_is_refused(tmp_path):
    with pytest.raises(InvalidProject, match="only on Databricks"):
        project(tmp_path, "databricks_spark_job: {python_file: x.py}\n")
