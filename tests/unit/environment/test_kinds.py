"""Every kind of environment: what its hash is, and what a further kind takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from container_backend.config import BackendConfig
from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.environment.read import read_environment
from container_backend.image.dockerfile import template_texts
from container_backend.image.hash import environment_hash
from container_backend.project.mlproject import read_project
from tests.support.projects import TRUSTED_FOLDER

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
    "conda_env": {
        "MLproject": "conda_env: c.yml\n",
        "c.yml": CONDA.format(package="cudatoolkit=11"),
    },
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
    "conda_env": "36237fa062f1c1a2",
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
    spec = read_environment(
        read_project(tmp_path, ENVIRONMENT_KEYS), None, BackendConfig(), TRUSTED_FOLDER
    )
    if spec.python_source == "this interpreter":
        spec = replace(spec, python="3.11")
    templates = dict.fromkeys(template_texts(spec, None), "")
    assert environment_hash(spec, "sha256:1", "linux/amd64", templates)[:16] == HASHES[kind]


ROOT = Path(__file__).parents[3]
READER = """
from container_backend.environment.declared import Declared
from container_backend.errors import InvalidEnvironment


def read_made_up(file, root):
    version, *names = file.read_text().split()
    if not names:
        raise InvalidEnvironment(f"{file}: a package is needed.")
    files = {file.name: file.read_bytes()}
    return Declared(python=version, source=str(file), files=files)
"""
TEMPLATE = """{% extends "Dockerfile.python.j2" %}
{% block dependencies %}
RUN --mount=type=bind,source=project,target=/project made-up {{ python }} /project
{% endblock %}
"""
IMPORT = """from container_backend.environment.declared import Template
from container_backend.environment.made_up import read_made_up
"""
ROW = """
    FileKind("made-up.txt", read_made_up, Template("Dockerfile.made-up.j2"), key="made_up_env"),
"""
# Prints the result of a project: its Dockerfile and the names in its build context, or an error.
PROGRAM = """
import json, sys
from pathlib import Path
from container_backend.config import BackendConfig
from container_backend.environment import ENVIRONMENT_KEYS, read_environment
from container_backend.errors import InvalidInput
from container_backend.image import BaseImage, plan_image
from container_backend.privileges import Giver, Permissions
from container_backend.project import read_project

said = {}
for name in sys.argv[1:]:
    project = read_project(Path(name), ENVIRONMENT_KEYS)
    try:
        spec = read_environment(project, None, BackendConfig(), Permissions(Giver.OWN))
    except InvalidInput as error:
        said[Path(name).name] = [str(error)]
        continue
    plan = plan_image(spec, BaseImage("b", "sha256:1", "b@sha256:1"), "linux/amd64")
    said[Path(name).name] = [spec.python, plan.hash, plan.dockerfile, sorted(plan.context)]
print(json.dumps(said))
"""


def test_a_further_kind_is_one_file_one_row_and_one_template(tmp_path):
    code = tmp_path / "code"
    shutil.copytree(ROOT / "container_backend", code / "container_backend")
    shutil.copytree(ROOT / "templates", code / "container_backend" / "templates")
    projects = {
        "named": {"MLproject": "made_up_env: mine\n", "mine": "3.9 two\n"},
        "unnamed": {"made-up.txt": "3.12 one\n", "pyproject.toml": PYPROJECT},
        "wrong": {"made-up.txt": "3.12\n"},
        "two": {"MLproject": "made_up_env: a\npython_env: b\n"},
        "nothing": {"main.py": ""},
    }
    for name, files in projects.items():
        write(tmp_path / name, files)

    def said() -> dict[str, list[str]]:
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, *(str(tmp_path / name) for name in projects)],
            cwd=code, env={**os.environ, "PYTHONPATH": str(code)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(result.stdout)

    before = said()
    rooms = code / "container_backend"
    (rooms / "environment" / "made_up.py").write_text(READER)
    (rooms / "templates" / "Dockerfile.made-up.j2").write_text(TEMPLATE)
    table = rooms / "environment" / "kinds.py"
    first, row, rest = table.read_text().partition(
        '\n    FileKind("pyproject.toml", read_pyproject'
    )
    assert row
    start, line, end = first.partition("from container_backend.environment.docker_env")
    table.write_text(start + IMPORT + line + end + ROW.rstrip() + row + rest)
    after = said()

    for name, version, file in (("named", "3.9", "mine"), ("unnamed", "3.12", "made-up.txt")):
        python, digest, dockerfile, context = after[name]
        assert python == version
        assert f"made-up {version} /project\n" in dockerfile
        assert "install.sh" not in dockerfile
        assert f"project/{file}" in context
        assert digest != before[name][1]
    assert "made-up" not in before["unnamed"][2]
    assert "made-up.txt: a package is needed" in after["wrong"][0]
    assert "made_up_env and python_env contradict each other" in after["two"][0]
    assert after["nothing"] == before["nothing"]
