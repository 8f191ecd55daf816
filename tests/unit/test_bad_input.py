"""Every file of a project that is broken, cut, huge or in another encoding is a value or an error of ours.

What is not an error of ours is a traceback. What takes long ends by the time limit of the test.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from container_backend.config import BackendConfig, parse_config, read_config
from container_backend.container.docker_args import parse_docker_args
from container_backend.environment.indexes import machine_indexes
from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.environment.read import read_environment
from container_backend.environment.spec import EnvironmentSpec
from container_backend.errors import ContainerBackendError
from container_backend.image.hash import BaseImage, plan_image
from container_backend.privileges import Giver, Permissions
from container_backend.project import compute_command, fetch, included_files, read_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BASE = BaseImage("base", "sha256:" + "0" * 64, "base")


def read_as_project(folder: Path) -> None:
    project = read_project(folder, ENVIRONMENT_KEYS)
    for entry_point in project.entry_points.values():
        with suppress(ContainerBackendError):
            compute_command(project, entry_point, {}, folder)
    for entry_point in (None, *project.entry_points.values()):
        found = read_environment(project, entry_point, BackendConfig(), Permissions(Giver.OWN))
        if isinstance(found, EnvironmentSpec):
            plan_image(found, BASE, "linux/amd64")


def read_as_config(folder: Path) -> None:
    config = parse_config(read_config(str(folder / "config.json")), environ={})
    parse_docker_args(config.docker_args)


def read_as_env_file(folder: Path) -> None:
    parse_docker_args({"env-file": str(folder / "env file")})


def read_as_dockerignore(folder: Path) -> None:
    list(included_files(folder))


def read_as_zip(folder: Path) -> None:
    with ExitStack() as needed:
        fetch(str(folder / "project.zip"), None, needed)


def read_as_pip(folder: Path) -> None:
    machine_indexes({"PIP_CONFIG_FILE": str(folder / "pip.conf")}, folder)


def read_as_uv(folder: Path) -> None:
    machine_indexes({"UV_CONFIG_FILE": str(folder / "uv.toml")}, folder)


@dataclass(frozen=True)
class Kind:
    """A file, a good content, and other files that it needs."""

    file: str
    good: str | bytes
    read: Callable[[Path], None] = read_as_project
    others: tuple[tuple[str, str], ...] = ()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MLproject", "entry_points: {main: {command: 'true'}}\n" * 5)
        archive.writestr("a b/é.py", "print(1)\n" * 100)
    return file.getvalue()


NEEDS_SIX = ("pyproject.toml", '[project]\nname = "x"\nversion = "1"\ndependencies = ["six>=1"]\n')
CONFIG = {
    "base_image": "python:{version}-slim",
    "docker_args": {"env": ["A=é"], "memory": "1g", "volume": ["/tmp:/x"]},
    "build_secrets": {"a": {"env": "X"}},
    "system_packages": ["git"],
    "timeout": 5,
}
KINDS = (
    Kind(
        "MLproject",
        """\
name: my project é
python_env: python_env.yaml
entry_points:
  main:
    parameters:
      alpha: {type: float, default: 0.5}
      data: {type: path, default: "data/a b.csv"}
      flag: bool
    command: "python main.py --alpha {alpha} '{data}' && echo ü"
  other: {command: 'true'}
""",
        others=(("python_env.yaml", "dependencies: [six]\n"),),
    ),
    Kind(
        "python_env.yaml",
        """\
# é
python: "3.11"
build_dependencies: [pip, setuptools]
dependencies:
  - -r more.txt
  - "pandas>=2,<3 ; python_version < '3.13'"
""",
        others=(("more.txt", "six\n"),),
    ),
    Kind(
        "requirements.txt",
        """\
# é
-i https://index.test/simple --trusted-host index.test
-c limits.txt
numpy==2.0 --hash=sha256:abc
scikit-learn[alldeps] >= 1.0 , <2 ; python_version < "3.13"  # why
-e git+https://github.com/a/b@main#egg=b
./lib
""",
        others=(("limits.txt", "numpy<3\n"),),
    ),
    Kind(
        "conda.yaml",
        """\
name: é
channels: [conda-forge, defaults]
dependencies:
  - python=3.11
  - numpy=2.0=py311h1
  - conda-forge::scipy>=1.0,<2
  - pip:
    - mlflow==3.1
""",
    ),
    Kind("environment.yml", "dependencies:\n- python>=3.9,<3.12\n- pip: [mlflow]\n"),
    Kind(
        "pyproject.toml",
        """\
[project]
name = "é"
version = "1"
requires-python = ">=3.9"
dependencies = ["numpy>=2", "pandas ; python_version<'3.13'"]
license = {text = "MIT"}
[tool.uv]
package = false
""",
    ),
    Kind(
        "pyproject.toml",
        """\
[tool.poetry.dependencies]
python = "^3.9"
lib = {path = "lib", develop = true}
many = [{version = "1", python = "<3.9"}, {version = "2", python = ">=3.9"}]
[[tool.poetry.source]]
name = "s"
url = "https://s.test/simple"
""",
    ),
    Kind(
        "uv.lock",
        """\
version = 1
[[package]]
name = "x"
version = "1"
source = { virtual = "." }
[package.metadata]
requires-dist = [{ name = "six", specifier = ">=1" }]
""",
        others=(NEEDS_SIX,),
    ),
    Kind(
        "requirements.lock",
        '# layer: light\nsix==1.16 ; python_version < "4" \\\n    --hash=sha256:abc\n',
        others=(("requirements.txt", "six\n"),),
    ),
    Kind(
        "pylock.toml",
        'lock-version = "1.0"\n[[packages]]\nname = "six"\nversion = "1.16"\n',
        others=(("requirements.txt", "six\n"),),
    ),
    Kind("apt.txt", "libgomp1 # é\ngit=1:2.39\n"),
    Kind(".python-version", "3.11\n", others=(NEEDS_SIX,)),
    Kind("config.json", json.dumps(CONFIG, indent=1), read_as_config),
    Kind("env file", "# é\nA=1\nB\n C=x y\nD=é\n", read_as_env_file),
    Kind(".dockerignore", "# é\n*.log\n!a b/é.log\n**/x\n[a-z]*\n", read_as_dockerignore),
    Kind("project.zip", zipped(), read_as_zip),
    Kind("pip.conf", "[global]\nindex-url = https://u:p@x.test\n", read_as_pip),
    Kind("uv.toml", '[[index]]\nname = "é"\nurl = "https://y.test"\ndefault = true\n', read_as_uv),
)
PLACES = 20
# What an attacker, or an accident, may put into a file of text.
STRANGE = (
    "\0", "\x1b[2J", "\u202e", "[", "{", '"', "'", "\t", ": ", "\\", "&a *a", "!!python/name:os", "é ü",
    "${A}", "<<: *x\n", "=", "@", "~", "{a:>9}", "9" * 30, "1e999", ".inf", "-e ", "://[",
)  # fmt: skip
DEEP = (
    "[", "{", "(", "a: [", "- ", '{"a":', "a = [", "a.", "[a.", "!", "\\\n", "a[", "x ; (", "**/", "*a",
    "-r ", "a={a=", '"a".', "?", "a: &a [*a, ", "://",
)  # fmt: skip
MANY = 20_000
HUGE = 10_000_000


def cut(kind: Kind) -> Iterator[bytes]:
    data = kind.good if isinstance(kind.good, bytes) else kind.good.encode()
    for place in range(PLACES):
        at = len(data) * place // PLACES
        yield data[:at]
        yield data[at:]
        yield data[:at] + data[at + 3 :]


def strange(kind: Kind) -> Iterator[bytes]:
    data = kind.good if isinstance(kind.good, bytes) else kind.good.encode()
    yield from (b"\xff\xfe" + data, data + b"\xff", b"\0" * 100, bytes(range(256)))
    for number, text in enumerate(STRANGE):
        for place in range(number % 3, PLACES, 3):
            at = len(data) * place // PLACES
            yield data[:at] + text.encode() + data[at:]


def said_twice_and_in_other_encodings(kind: Kind) -> Iterator[bytes]:
    if isinstance(kind.good, bytes):
        return
    for encoding in ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7"):
        yield kind.good.encode(encoding, "replace")
    yield kind.good.replace("\n", "\r").encode()
    yield (kind.good * 2).encode()
    lines = kind.good.splitlines(keepends=True)
    for number, line in enumerate(lines):
        yield "".join([*lines[:number], line, *lines[number:]]).encode()
        long = line.rstrip("\n") + "x" * 200_000 + "\n"
        yield "".join([*lines[:number], long, *lines[number + 1 :]]).encode()


def huge_and_deep(kind: Kind) -> Iterator[bytes]:
    data = kind.good if isinstance(kind.good, bytes) else kind.good.encode()
    yield from (bytes(HUGE), b"a" * HUGE, b"#" + b" " * HUGE, data * (HUGE // len(data)))
    yield from (b"\n" * 400_000, b" " * 400_000)
    for text in DEEP:
        yield text.encode() * MANY
        yield f"{text}\n".encode() * MANY
    yield b"a = " + b"[" * MANY
    yield "".join(f"{' ' * depth}a:\n" for depth in range(500)).encode()


def what_is_said(kind: Kind, folder: Path) -> str:
    try:
        kind.read(folder)
    except ContainerBackendError as error:
        return str(error)
    return ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "changed", [cut, strange, said_twice_and_in_other_encodings, huge_and_deep]
)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.file} {kind.good[:9]!r}")
def test_a_broken_file_is_a_value_or_an_error_of_ours(kind, changed, tmp_path):
    folder = tmp_path / "my project é"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "setup.py").touch()
    for name, text in kind.others:
        (folder / name).write_text(text)
    for data in changed(kind):
        (folder / kind.file).write_bytes(data)
        assert len(what_is_said(kind, folder)) < 25_000, data[:2000]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.file} {kind.good[:9]!r}")
def test_a_good_file_is_a_value(kind, tmp_path):
    """The control."""
    test_a_broken_file_is_a_value_or_an_error_of_ours(kind, lambda _: (), tmp_path)
    (tmp_path / "my project é" / kind.file).write_bytes(
        kind.good if isinstance(kind.good, bytes) else kind.good.encode()
    )
    kind.read(tmp_path / "my project é")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.file} {kind.good[:9]!r}")
def test_a_folder_in_place_of_a_file_is_a_value_or_an_error_of_ours(kind, tmp_path):
    for name, text in kind.others:
        (tmp_path / name).write_text(text)
    with suppress(ContainerBackendError):
        (tmp_path / kind.file).mkdir()
        kind.read(tmp_path)
    shutil.rmtree(tmp_path / kind.file)
    (tmp_path / kind.file).symlink_to(kind.file)  # to itself
    with suppress(ContainerBackendError):
        kind.read(tmp_path)
