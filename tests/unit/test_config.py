"""The backend config is validated before anything happens."""

from __future__ import annotations

import pytest

from container_backend.config import base_of, is_image_reference, parse_config, read_config
from container_backend.errors import InvalidConfig


def test_defaults():
    config = parse_config({}, environ={})
    assert config.base_image == "python:{version}-slim"
    assert config.grace == 10


def test_the_variable_is_a_default_and_the_config_comes_first():
    environ = {"CONTAINER_BACKEND_BASE_IMAGE": "mine:{version}"}
    assert parse_config({}, environ=environ).base_image == "mine:{version}"
    assert parse_config({"base_image": "other"}, environ=environ).base_image == "other"


def test_the_mapping_of_the_caller_is_not_changed():
    given = {"grace": 1}
    parse_config(given, environ={"CONTAINER_BACKEND_BASE_IMAGE": "mine"})
    assert given == {"grace": 1}


def test_all_problems_are_named_at_once():
    with pytest.raises(InvalidConfig) as caught:
        parse_config({"base_imag": "x", "grace": -1}, environ={})
    text = str(caught.value)
    assert "In the backend config: " in text
    assert "unknown key 'base_imag' (did you mean 'base_image'?)" in text
    assert "key 'grace'" in text


@pytest.mark.parametrize(
    "reference",
    ["python", "python:3.11-slim", "registry.test:5000/a/b_c:1.0", "a/b@sha256:" + "0" * 64],
)
def test_image_references(reference):
    assert is_image_reference(reference)


@pytest.mark.parametrize(
    "reference", ["", "Python", "a b", "python:3.11\nRUN x", "x:", "a@sha256:1", "-x", "a//b"]
)
def test_what_is_no_image_reference_never_reaches_a_dockerfile(reference):
    assert not is_image_reference(reference)
    with pytest.raises(InvalidConfig, match="key 'base_image'"):
        parse_config({"base_image": reference}, environ={})


def test_a_base_image_may_be_for_one_version():
    environ = {"CONTAINER_BACKEND_BASE_IMAGE": "mine:{version}"}
    images = {"3.8": "old:{version}", "3.9.7": "exact"}
    plain = parse_config({"base_image": images}, environ={})
    assert base_of(plain, "base_image", "3.8") == "old:3.8"
    assert base_of(plain, "base_image", "3.8.10") == "old:3.8.10"
    assert base_of(plain, "base_image", "3.9.7") == "exact"
    assert base_of(plain, "base_image", "3.9") == "python:3.9-slim"
    mine = parse_config({"base_image": images}, environ=environ)
    assert base_of(mine, "base_image", "3.9") == "mine:3.9"
    others = parse_config({"base_image": {"*": "all:{version}"}}, environ=environ)
    assert base_of(others, "base_image", "3.9") == "all:3.9"
    conda = parse_config({"conda_base_image": {"3.8": "mamba:1"}}, environ=environ)
    assert base_of(conda, "conda_base_image", "3.8") == "mamba:1"
    assert base_of(conda, "conda_base_image", "3.9") == "mambaorg/micromamba:2"


@pytest.mark.parametrize(
    "value", [{"3": "a"}, {"3.8": "A B"}, {"three": "a"}, {"3.8": None}, 3, None, ["a"]]
)
def test_what_names_no_base_image_is_refused(value):
    with pytest.raises(InvalidConfig, match="key 'base_image': '"):
        parse_config({"base_image": value}, environ={})


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2023-05-01", "2023-05-02T00:00:00Z"),
        ("2024-02-28", "2024-02-29T00:00:00Z"),
        ("2023-05-01T12:00:00Z", "2023-05-01T12:00:00Z"),
        ("2023-05-01t12:00:00.123456789+02:00", "2023-05-01T10:00:00Z"),
        ("0987-01-01T00:00:00Z", "0987-01-01T00:00:00Z"),
        ("commit", "commit"),
    ],
)
def test_a_day_is_the_end_of_it_in_utc(value, time):
    assert parse_config({"exclude_newer": value}, environ={}).exclude_newer == time


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2023", "2023-05", "2023-02-30", "01.05.2023", "2023-05-01 12:00", "9999-12-31",
     "2023-05-01T12:00:00", "2023-05-01\n", "\u0662023-05-01", "HEAD", 20230501],
)  # fmt: skip
def test_what_is_no_day_is_refused(value):
    with pytest.raises(InvalidConfig, match="key 'exclude_newer'"):
        parse_config({"exclude_newer": value}, environ={})


def test_json_and_files_of_it(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"grace": 3}')
    assert read_config(str(file)) == {"grace": 3}
    assert read_config(' {"grace": 3}') == {"grace": 3}


@pytest.mark.parametrize("text", ["{grace: 3}", "no/such/file.json"])
def test_what_cannot_be_read(text):
    with pytest.raises(InvalidConfig):
        read_config(text)


def test_json_that_is_not_an_object(tmp_path):
    file = tmp_path / "config.json"
    file.write_text("[1]")
    with pytest.raises(InvalidConfig, match=r"an object \(\{…\}\) is needed, not list"):
        read_config(str(file))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"push": True}, "'push' needs an 'image_repository'"),
        ({"image_repository": "team/x:1"}, "is not the name of a repository"),
        ({"image_repository": "Team X"}, "is not the name of a repository"),
    ],
)
def test_a_repository_is_a_name_without_a_tag(values, message):
    with pytest.raises(InvalidConfig) as caught:
        parse_config(values)
    assert message in str(caught.value)
    assert parse_config({"image_repository": "registry.test:5000/team/x", "push": True}).push


def test_a_run_ends_as_it_is_told_to():
    given = {"detach": True, "timeout": 0.5, "retries": 3, "keep": "on-failure", "grace": 0}
    config = parse_config({**given, "stop_signal": "int"}, environ={})
    assert {key: getattr(config, key) for key in given} == given
    assert config.stop_signal == "SIGINT"
    usual = parse_config({}, environ={})
    assert (usual.detach, usual.timeout, usual.retries, usual.keep) == (False, None, 0, "never")
    assert (usual.stop_signal, usual.retry_program) == ("SIGTERM", False)


@pytest.mark.parametrize(
    "values",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "soon"},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"grace": float("nan")},
        {"grace": 86_401},
        {"retries": -1},
        {"retries": 1.5},
        {"retries": 101},
        {"keep": "sometimes"},
        {"keep": True},
        {"stop_signal": "SIGSTOP"},
        {"stop_signal": "9"},
        {"stop_signal": ""},
        {"detach": "perhaps"},
    ],
    ids=repr,
)
def test_what_is_no_such_value_is_refused_with_its_key(values):
    with pytest.raises(InvalidConfig, match=f"key '{next(iter(values))}'"):
        parse_config(values, environ={})
