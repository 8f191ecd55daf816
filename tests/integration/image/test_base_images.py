"""Base images that are not there: who asked for that Python, and what helps."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile

import pytest

import container_backend
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.on_engine import BASE
from tests.support.packages import serving

MAIN = "entry_points: {main: {command: 'true'}}"
NOT_HERE = "127.0.0.1:1/not/here:{version}"


def said(folder: str, **config: object) -> str:
    done = run_command("container-backend", "build", folder, "-c", json.dumps(config))
    assert done.returncode != 0
    return done.stderr.partition("Error: ")[2]


def test_a_patch_version_without_an_image_is_answered_with_python_match(project):
    folder = project(MAIN, conda__yaml="dependencies: [python=3.8.8, pip]\n")
    message = said(folder, base_image=NOT_HERE)
    assert (
        "The base image '127.0.0.1:1/not/here:3.8.8' is not on the engine, and its reg" in message
    )
    assert "conda.yaml' asks for Python 3.8.8." in message
    assert 'set "python_match": "minor" in the backend config if any Python 3.8 will do' in message
    assert '"base_image": {"3.8.8": "IMAGE"}' in message
    assert "python:" not in message


def test_a_version_that_no_one_asked_for_is_said_to_be_this_interpreters(project):
    folder = project(MAIN, requirements__txt="six\n")
    message = said(folder, base_image=NOT_HERE, pull="never")
    assert "'pull' is 'never'. The project names no version of Python: 3." in message
    assert "python_match" not in message


def test_a_missing_base_of_conda_is_answered_with_its_own_key(project):
    folder = project(MAIN, conda__yaml="dependencies: [python=3.11, r-base]\n")
    message = said(folder, conda_base_image="127.0.0.1:1/micromamba:2")
    assert "set another conda_base_image in the backend config" in message
    assert "another base_image" not in message


def test_one_version_has_an_image_of_its_own(project):
    folder = project(MAIN, python_env__yaml="python: '3.11'\n")
    images = {"3.11": BASE, "*": NOT_HERE}
    found = container_backend.run(folder, backend_config={"base_image": images})
    assert found.get_status() == "FINISHED"
    with pytest.raises(container_backend.ImageUnavailable):
        container_backend.run(folder, backend_config={"base_image": {**images, "3.11": NOT_HERE}})


# The interpreter of the base, in the form of those that uv fetches.
PACK = """
set -e
prefix=$(python3 -c 'import sys; print(sys.base_prefix)')
minor=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
mkdir -p /packed/python/bin /packed/python/lib
cp "$(readlink -f "$(command -v python3)")" "/packed/python/bin/$minor"
ln -s "$minor" /packed/python/bin/python3
cp -rL "$prefix/lib/$minor" /packed/python/lib
tar czf /packed/python.tar.gz -C /packed python
python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'
"""


def packed_python(engine) -> tuple[str, bytes]:
    """Version and archive of the interpreter of the base."""
    container = client_of(engine).containers.create(BASE, ["sh", "-c", PACK])
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0
        version = container.logs().decode().strip()
        chunks, _ = container.get_archive("/packed/python.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            return version, tar.extractfile("python.tar.gz").read()
    finally:
        container.remove(force=True)


@pytest.mark.slow
def test_uv_fetches_a_python_that_the_base_lacks(project, engine, fresh, capfd, monkeypatch):
    version, archive = packed_python(engine)
    major, minor, patch = map(int, version.split("."))
    machine = platform.machine()
    name = f"cpython-{version}-linux-{machine}-gnu"
    with serving(engine, {f"{name}.tar.gz": archive}) as address:
        described = {
            name: {
                "name": "cpython", "arch": {"family": machine, "variant": None}, "os": "linux",
                "libc": "gnu", "major": major, "minor": minor, "patch": patch, "prerelease": "",
                "url": f"http://{address}/simple/cpython/{name}.tar.gz",
                "sha256": hashlib.sha256(archive).hexdigest(), "variant": None, "build": None,
            }
        }  # fmt: skip
        listing = {"pythons-1.json": json.dumps(described).encode()}
        with serving(engine, listing) as other:
            monkeypatch.setenv(
                "UV_PYTHON_DOWNLOADS_JSON_URL", f"http://{other}/simple/pythons/pythons-1.json"
            )
            folder = project(
                "entry_points: {main: {command: 'python main.py'}}",
                python_env__yaml=f"python: '{version}'\ndependencies: [six]\n",
                main__py="import platform, six, sys; print(platform.python_version(), sys.base_prefix)\n",
            )
            container_backend.run(folder, backend_config={"python_source": "uv"})
    written = capfd.readouterr()
    assert written.out == f"{version} /mlflow/python/{name}\n"
    assert f"fetching Python {version}" in written.err


def test_a_python_that_uv_does_not_know_is_said(project, engine, fresh):
    folder = project(MAIN, python_env__yaml="python: '3.9.99'\n")
    message = said(folder, python_source="uv")
    assert "Failed step: fetching Python 3.9.99" in message
    assert "uv knows no such Python for this platform" in message


def test_a_missing_base_can_be_replaced_by_a_python_of_uv(project):
    folder = project(MAIN, python_env__yaml="python: '3.9'\n")
    assert '"python_source": "uv"' in said(folder, base_image=NOT_HERE)
