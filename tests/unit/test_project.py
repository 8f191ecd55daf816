"""MLproject files and the commands they make."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container_backend.errors import InvalidProject
from container_backend.project import EntryPoint, Parameter, Project, compute_command, read_project

ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


def project(root, text: str) -> Project:
    (root / "MLproject").write_text(text, encoding="utf-8")
    return read_project(root)


def command(root, text: str, **values: object):
    read = project(root, text)
    return compute_command(read, read.entry_point("main"), values)


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
    assert read_project(tmp_path).name == "x"


def test_a_folder_without_mlproject_is_a_project_of_scripts(tmp_path):
    (tmp_path / "my script.py").touch()
    read = read_project(tmp_path)
    assert read.entry_point("my script.py").command == "python 'my script.py'"
    with pytest.raises(InvalidProject, match="there is no entry point 'main'"):
        read.entry_point("main")


def test_defaults_are_filled_in_and_undeclared_values_are_appended(tmp_path):
    made = command(
        tmp_path,
        "entry_points:\n  main:\n    command: run {a} {b}\n    parameters: {a: int, b: {default: 7}}\n",
        a=1,
        other="x y",
    )
    assert made.line == "run 1 7 --other 'x y'"
    assert made.parameters == {"a": "1", "b": "7", "other": "x y"}


def test_a_path_is_made_absolute_and_shown_to_the_container(tmp_path, monkeypatch):
    (tmp_path / "data.csv").touch()
    monkeypatch.chdir(tmp_path)
    text = "entry_points:\n  main:\n    command: run {d}\n    parameters: {d: path}\n"
    made = command(tmp_path, text, d="data.csv")
    assert made.line == f"run {tmp_path}/data.csv"
    assert made.paths == (tmp_path / "data.csv",)
    assert made.parameters == {"d": "data.csv"}


@settings(deadline=None, max_examples=60)
@given(
    value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    extra=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
def test_any_text_reaches_the_program_as_it_was_given(tmp_path_factory, value, extra):
    entry_point = EntryPoint(
        "main", f"\"{sys.executable}\" -c '{ECHO}' {{v}}", {"v": Parameter("v")}
    )
    read = Project(None, tmp_path_factory.getbasetemp(), None, {"main": entry_point}, {})
    made = compute_command(read, entry_point, {"v": value, "extra": extra})
    assert made.parameters == {"v": value, "extra": extra}
    printed = subprocess.run(["sh", "-c", made.line], capture_output=True, check=True).stdout
    assert json.loads(printed) == [value, "--extra", extra]


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
        read_project(tmp_path)


def test_an_unknown_entry_point_is_told_from_the_known_ones(tmp_path):
    read = project(tmp_path, "entry_points: {train: {command: x}, evaluate: {command: y}}\n")
    with pytest.raises(InvalidProject) as caught:
        read.entry_point("trian")
    assert "'train', 'evaluate'" in str(caught.value)
    assert "Did you mean 'train'?" in str(caught.value)


def test_all_missing_parameters_are_named(tmp_path):
    text = "entry_points: {main: {command: x, parameters: {a: int, b: int, c: {default: 1}}}}\n"
    with pytest.raises(InvalidProject, match=r"no value for the parameters 'a', 'b'"):
        command(tmp_path, text)


def test_braces_without_a_parameter(tmp_path):
    with pytest.raises(InvalidProject, match=r"the command uses \{gone\}"):
        command(tmp_path, "entry_points: {main: {command: 'x {gone}'}}\n")
    with pytest.raises(InvalidProject, match="braces cannot be read"):
        command(tmp_path, "entry_points: {main: {command: 'x {'}}\n")


def test_a_character_that_no_program_can_be_passed(tmp_path):
    with pytest.raises(InvalidProject, match="NUL"):
        command(tmp_path, "entry_points: {main: {command: x}}\n", a="b\0c")


def test_a_path_that_is_not_there(tmp_path):
    text = "entry_points: {main: {command: 'x {d}', parameters: {d: path}}}\n"
    with pytest.raises(InvalidProject, match="which is not there"):
        command(tmp_path, text, d="/no/such/file")
