"""Every kind of environment: what its hash is, and what a further kind takes."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from container_backend.config import BackendConfig
from container_backend.environment.declared import read_environment
from container_backend.image.dockerfile import template_texts
from container_backend.image.hash import environment_hash
from container_backend.project.mlproject import read_project

BUILD = "[build-system]\nrequires = ['setuptools']\n"
PYPROJECT = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['Numpy>=1']\n"
UV_LOCK = """
version = 1
[[package]]
name = "x"
version = "1"
source = { virtual = "." }
[package.metadata]
requires-dist = [{ name = "numpy", specifier = ">=1" }]
"""
PYTHON_ENV = """
python: "3.11.7"
build_dependencies: [pip<25]
dependencies:
- -r more.txt
- -c limits.txt
- Scikit_Learn == 1.5 ; python_version > "3"
- ./wheels/w-1-py3-none-any.whl
"""
CONDA = "dependencies: [python=3.11, {package}, {{pip: ['mlflow>=3']}}]\n"
PROJECTS = {
    "python_env": {
        "MLproject": "python_env: a.yaml\n",
        "a.yaml": PYTHON_ENV,
        "more.txt": "--extra-index-url https://user:s3cret@index.test/simple\n"
        "--find-links ./wheels\nthing @ https://me:t0ken@files.test/thing.zip\n--pre\n",
        "limits.txt": "numpy<3\n",
        "wheels/w-1-py3-none-any.whl": "w",
        "apt.txt": "libgomp1 git\n",
    },
    "python_env.yaml": {"python_env.yaml": "dependencies: [numpy==2.0]\n"},
    "conda_env": {"MLproject": "conda_env: c.yml\n", "c.yml": CONDA.format(package="pytorch=2")},
    "conda.yaml": {"conda.yaml": CONDA.format(package="r-base")},
    "conda.yaml, all of it on the index": {"conda.yaml": CONDA.format(package="numpy=1.26")},
    "requirements.txt": {"requirements.txt": "numpy==2.0\n-e ./lib\n", "lib/pyproject.toml": BUILD},
    "pyproject.toml": {"pyproject.toml": PYPROJECT},
    "pyproject.toml, a package": {"pyproject.toml": PYPROJECT + BUILD, "src/x.py": "1"},
    "uv.lock": {"pyproject.toml": PYPROJECT, "uv.lock": UV_LOCK},
    "uv.lock, a package": {
        "pyproject.toml": PYPROJECT + BUILD,
        "uv.lock": UV_LOCK.replace("virtual", "editable"),
    },
    "requirements.lock": {
        "requirements.txt": "numpy>=1\n-i https://index.test/simple\n",
        "requirements.lock": "numpy==2.0 \\\n  --hash=sha256:bb\n",
    },
    "pylock.toml": {
        "python_env.yaml": "dependencies: [numpy]\n",
        "pylock.toml": "[[packages]]\nname = 'numpy'\nversion = '2.0'\n",
    },
    "nothing": {"main.py": ""},
}
# Made by the code of version 0.1. Another hash makes every user build every image again.
HASHES = {
    "python_env": "6d65943965774d2a",
    "python_env.yaml": "0d119130ff4c74ad",
    "conda_env": "01625c1ca3749a82",
    "conda.yaml": "09c85a4e7304b2ba",
    "conda.yaml, all of it on the index": "efc083ba67350459",
    "requirements.txt": "db2f1da170eeaa47",
    "pyproject.toml": "9a9a49e982f9cb53",
    "pyproject.toml, a package": "6ef8d2309a3380e7",
    "uv.lock": "593d44ed92dc22eb",
    "uv.lock, a package": "f13b87b1c0a281e4",
    "requirements.lock": "60cf7dab6a9dc69a",
    "pylock.toml": "613b0ad999bb8bf4",
    "nothing": "4710520882722c15",
}


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch, tmp_path_factory):
    for name in os.environ:
        if name.startswith(("UV_", "PIP_", "XDG_CONFIG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def write(root, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("kind", PROJECTS)
def test_the_hash_of_a_project_of_each_kind_is_what_it_was(tmp_path, kind):
    write(tmp_path, PROJECTS[kind])
    spec = read_environment(read_project(tmp_path), None, BackendConfig())
    if spec.python_source == "this interpreter":
        spec = replace(spec, python="3.11")
    templates = dict.fromkeys(template_texts(spec, None), "")
    assert environment_hash(spec, "sha256:1", "linux/amd64", templates)[:16] == HASHES[kind]
