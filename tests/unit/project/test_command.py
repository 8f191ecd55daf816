"""Entry points and values → command lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.errors import InvalidProject
from container_backend.project.command import Download, compute_command
from container_backend.project.entry_points import EntryPoint, Project
from container_backend.project.mlproject import read_project
from container_backend.project.parameters import Parameter

STORAGE = Path("/storage")
ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"


def command(root, text: str, **values: object):
    (root / "MLproject").write_text(text, encoding="utf-8")
    read = read_project(root, ENVIRONMENT_KEYS)
    return compute_command(read, read.entry_point("main"), values, STORAGE)


def typed(root, declared: str, **values: object):
    return command(
        root,
        f"entry_points:\n  main:\n    command: run {{v}}\n    parameters: {{v: {declared}}}\n",
        **values,
    )


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


@pytest.mark.parametrize("scheme", ["file", "FILE", "File"])
def test_the_address_of_a_file_of_this_machine_is_never_downloaded(tmp_path, scheme):
    (tmp_path / "data.csv").touch()
    made = typed(tmp_path, "path", v=f"{scheme}://{tmp_path}/data.csv")
    assert (made.paths, made.downloads) == ((tmp_path / "data.csv",), ())


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
    made = compute_command(read, entry_point, {"v": value, "extra": extra}, STORAGE)
    assert made.parameters == {"v": value, "extra": extra}
    printed = subprocess.run(["sh", "-c", made.line], capture_output=True, check=True).stdout
    assert json.loads(printed) == [value, "--extra", extra]


def test_a_command_that_no_program_can_be_handed_is_refused(tmp_path):
    most = 128 * 1024 - 1
    made = typed(tmp_path, "string", v="x" * (most - len("run ")))
    subprocess.run(["true", made.line], check=True)
    with pytest.raises(InvalidProject, match=rf"has {most + 1} bytes.* at most {most}\.") as caught:
        typed(tmp_path, "string", v="x" * (most - len("run ") + 1))
    assert "the command with the parameter 'v', the longest one, has" in str(caught.value)
    assert "type path" in str(caught.value)
    with pytest.raises(InvalidProject, match="the parameter 'extra', the longest one"):
        command(tmp_path, "entry_points: {main: {command: x}}\n", a="b", extra="x" * most)
    assert len(str(caught.value)) < 1000
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["true", made.line + "x"], check=True)


def test_all_missing_parameters_are_named(tmp_path):
    text = "entry_points: {main: {command: x, parameters: {a: int, b: int, c: {default: 1}}}}\n"
    with pytest.raises(InvalidProject) as caught:
        command(tmp_path, text)
    assert "no value for the parameter 'a' (int); no value for the parameter 'b'" in str(
        caught.value
    )
    assert "Give -P a=… -P b=…." in str(caught.value)


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
    with pytest.raises(InvalidProject, match="which does not exist"):
        command(tmp_path, text, d="/no/such/file")


@pytest.mark.parametrize(
    ("declared", "given", "handed"),
    [
        ("int", "7", "7"),
        ("int", "007", "007"),
        ("int", "+7", "+7"),
        ("int", " -07 ", "' -07 '"),
        ("int", 7, "7"),
        ("integer", "1_000", "1_000"),
        ("float", "1e-3", "1e-3"),
        ("float", "7", "7"),
        ("number", "07.50", "07.50"),
        ("double", " 1", "' 1'"),
        ("bool", "true", "true"),
        ("bool", "YES", "YES"),
        ("bool", "1", "1"),
        ("bool", True, "True"),
        ("boolean", "off", "off"),
        ("bool", "no", "no"),
        ("bool", "0", "0"),
        ("str", "x", "x"),
        ("string", "", "''"),
        ("uri", "s3://bucket/key", "s3://bucket/key"),
        ("uri", "dbfs:/x", "dbfs:/x"),
    ],
)
def test_a_value_reaches_the_program_and_the_store_as_it_was_typed(
    tmp_path, declared, given, handed
):
    made = typed(tmp_path, declared, v=given)
    assert made.line == f"run {handed}"
    assert made.parameters == {"v": str(given)}


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        ("int", "1.5", "'v' (int) needs a whole number, not '1.5'"),
        ("int", "", "needs a whole number"),
        ("float", "a lot", "needs a number, not 'a lot'"),
        ("bool", "maybe", "needs true or false, not 'maybe'"),
        ("boolean", "2", "needs true or false, not '2'"),
        ("number", "many", "needs a number, not 'many'"),
        ("uri", "plain", "needs an address (scheme://…), not 'plain'"),
        ("path", "", "needs a path"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path, declared, given, message):
    with pytest.raises(InvalidProject) as caught:
        typed(tmp_path, declared, v=given)
    assert message in str(caught.value)
    assert "MLproject, entry point 'main'" in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    text = (
        "entry_points:\n  main:\n    command: run\n"
        "    parameters: {a: int, b: bool, c: string, d: {type: float, default: 1}}\n"
    )
    with pytest.raises(InvalidProject) as caught:
        command(tmp_path, text, a="x", b="q", d="z")
    for name in "abcd":
        assert f"parameter '{name}'" in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "handed", "warning"),
    [
        ("{type: float, default: None}", "None", "the default of parameter 'v' (float) is 'None'"),
        ("{type: list, default: 3}", "3", "the type 'list' of parameter 'v' is unknown"),
        ("{type: integer, default: 3}", "3", None),
        ("{type: bool, default: true}", "True", None),
        ("{type: int, default: 3}", "3", None),
        ("{type: path, default: gone.csv}", "gone.csv", "which does not exist"),
    ],
)
def test_what_mlflow_lets_pass_in_the_file_runs_with_one_warning(
    tmp_path, caplog, declared, handed, warning
):
    assert typed(tmp_path, declared).line == f"run {handed}"
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (warning is not None)
    assert all(warning in message for message in messages)


def test_the_default_of_a_path_is_logged_as_it_is_declared(tmp_path, monkeypatch):
    (tmp_path / "data.csv").touch()
    monkeypatch.chdir(tmp_path)
    made = typed(tmp_path, "{type: path, default: data.csv}")
    assert made.line == f"run {tmp_path}/data.csv"
    assert made.parameters == {"v": "data.csv"}


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("https://example.test/a/b%20c.csv?x=1", "b c.csv"),
        ("runs:/0123/model", "model"),
        ("s3://bucket/folder/", "folder"),
    ],
)
def test_a_path_that_is_an_address_is_downloaded_first(tmp_path, uri, name):
    made = typed(tmp_path, "path", v=uri)
    target = STORAGE / "param_0" / name
    assert made.downloads == (Download("v", uri, target),)
    assert made.paths == (target,)
    assert made.parameters == {"v": uri}
    assert str(target) in made.line.replace("'", "")


@pytest.mark.parametrize("uri", ["http://h", "http://h/", "http://h/a/..", "http://h/%2e%2e"])
@pytest.mark.parametrize("name", ["/etc/passwd", "../../../x", "plain"])
def test_a_download_stays_in_its_folder_however_parameter_and_address_are_called(uri, name):
    entry_point = EntryPoint("main", "run", {name: Parameter(name, "path", uri)})
    made = compute_command(Project(None, Path("/p"), None, {}, {}), entry_point, {}, STORAGE)
    assert [download.target for download in made.downloads] == [STORAGE / "param_0" / "download"]


def test_a_file_address_is_a_local_path(tmp_path):
    (tmp_path / "a b.csv").touch()
    made = typed(tmp_path, "path", v=f"file://{tmp_path}/a b.csv")
    assert made.paths == (tmp_path / "a b.csv",)
    assert made.downloads == ()


@pytest.mark.parametrize("text", ["{a:>9999999999}", "{a!r}", "{a[0]}", "{a.__class__}"])
def test_a_parameter_in_a_command_has_a_name_and_nothing_else(tmp_path, text):
    """Else the command could be a text of any length."""
    declared = f"entry_points: {{main: {{command: 'x {text}', parameters: {{a: string}}}}}}\n"
    with pytest.raises(InvalidProject, match="has more than a name"):
        command(tmp_path, declared, a="1")


def test_a_command_of_any_length_is_not_made(tmp_path):
    """Each of its parts is short."""
    declared = "entry_points:\n  main:\n    parameters: {a: {default: %s}}\n    command: '%s'\n"
    with pytest.raises(InvalidProject, match="a program can receive at most"):
        command(tmp_path, declared % ("x" * 20_000, "{a}" * 20_000))
