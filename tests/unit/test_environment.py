"""python_env.yaml, requirements.txt, or nothing → what is to be installed."""

from __future__ import annotations

import sys

import pytest

from container_backend.environment import read_environment
from container_backend.errors import InvalidEnvironment
from container_backend.indexes import Login
from container_backend.project import read_project

OWN_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)


def environment(root, **files: str):
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return read_environment(read_project(root))


def test_the_file_that_mlproject_names(tmp_path):
    spec = environment(
        tmp_path,
        MLproject="python_env: other.yaml\n",
        other__yaml="python: '3.11'\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n",
        requirements__txt="numpy==2.0\nmlflow\n",
    )
    assert (spec.python, spec.requirements) == ("3.11", ("mlflow", "numpy==2.0", "pip"))
    assert spec.python_source.endswith("other.yaml")


def test_python_env_yaml_beside_mlproject_needs_no_naming(tmp_path):
    spec = environment(tmp_path, MLproject="name: x\n", python_env__yaml="dependencies: [numpy]\n")
    assert spec.requirements == ("numpy",)


def test_requirements_alone(tmp_path):
    spec = environment(tmp_path, requirements__txt="numpy\n")
    assert (spec.python, spec.requirements) == (OWN_VERSION, ("numpy",))


def test_nothing_at_all_is_this_interpreter_and_nothing_installed(tmp_path):
    spec = environment(tmp_path, MLproject="name: x\n")
    assert (spec.python, spec.python_source) == (OWN_VERSION, "this interpreter")
    assert spec.requirements == ()


def test_a_version_without_quotes_is_read_as_it_is_written(tmp_path):
    assert environment(tmp_path, python_env__yaml="python: 3.10\n").python == "3.10"


def test_an_empty_file_declares_nothing(tmp_path):
    assert environment(tmp_path, python_env__yaml="").requirements == ()


def test_order_comments_and_spelling_do_not_change_an_environment(tmp_path):
    one = environment(tmp_path, requirements__txt="numpy\n# c\nPandas >= 2\n")
    other = environment(tmp_path, requirements__txt="pandas>=2\r\nnumpy  # d\r\nnumpy\r\n")
    assert one == other


def test_credentials_are_apart_from_addresses(tmp_path):
    spec = environment(
        tmp_path,
        requirements__txt=(
            "--extra-index-url https://user:s3cret@index.test/simple\n"
            "thing @ https://me:t0ken@files.test/thing.zip\n"
        ),
    )
    assert spec.indexes.extra == ("https://index.test/simple",)
    assert spec.requirements == ("thing @ https://files.test/thing.zip",)
    assert set(spec.indexes.logins) == {
        Login("index.test", "user", "s3cret"),
        Login("files.test", "me", "t0ken"),
    }
    assert "s3cret" not in repr(spec)
    assert "t0ken" not in repr(spec)


def test_the_project_does_not_say_where_the_installer_comes_from(tmp_path):
    spec = environment(tmp_path, requirements__txt="-i https://index.test/simple\nnumpy\n")
    assert spec.indexes.default == "https://index.test/simple"
    assert spec.installer_indexes.default is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"MLproject": "python_env: a.yaml\nconda_env: b.yaml\n"},
            "conda_env and python_env contradict",
        ),
        ({"MLproject": "python_env: gone.yaml\n"}, "key 'python_env': there is no file"),
        ({"MLproject": "python_env: ../out.yaml\n"}, "outside of the project"),
        ({"MLproject": "python_env: [a]\n"}, "the name of a file is needed"),
        ({"MLproject": "docker_env: {image: x}\n"}, "key 'docker_env'"),
        ({"conda__yaml": "dependencies: [python=3.11]\n"}, "conda.yaml"),
        ({"python_env__yaml": "python: [\n"}, "python_env.yaml: not YAML: line 2"),
        ({"python_env__yaml": "- numpy\n"}, "a mapping"),
        ({"python_env__yaml": "pyton: '3.11'\n"}, "unknown key 'pyton'"),
        ({"python_env__yaml": "python: '>=3.8'\n"}, "key 'python': '>=3.8'"),
        ({"python_env__yaml": "python: '2.7'\n"}, "key 'python': '2.7'"),
        ({"python_env__yaml": "dependencies: numpy\n"}, "key 'dependencies': a list"),
        ({"python_env__yaml": "dependencies:\n- numpy\n- a b\n"}, "python_env.yaml, line 3"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path, files, message):
    with pytest.raises(InvalidEnvironment) as caught:
        environment(tmp_path, **files)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
