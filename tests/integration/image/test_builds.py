"""Environment images: what is in them, what is not, and what is said when they cannot be made."""

from __future__ import annotations

import contextlib
import io
import json
import re
import signal
import tarfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import command, run_command
from tests.support.on_engine import (
    BASE,
    containers_of,
    environment_images,
    everything,
    remove_images,
)
from tests.support.packages import PASSWORD, USER, serving, source, wheel
from tests.support.projects import with_steps
from tests.support.runs import only_run, runs
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def index(engine) -> Iterator[str]:
    """The address of a private index, without its login."""
    versions = ("1.0", "2.0")
    found = {f"tinything-{each}-py3-none-any.whl": wheel("tinything", each) for each in versions}
    with serving(engine, found) as address:
        yield f"{address}/private"


def private(project, index: str, version: str, login: str = f"{USER}:{PASSWORD}@") -> str:
    return project(
        "entry_points: {main: {command: 'python -c \"import tinything; print(tinything.VERSION)\"'}}",
        requirements__txt=f"--extra-index-url http://{login}{index}/simple\ntinything=={version}\n",
    )


def base64_in(content: bytes) -> bytes:
    """The parts that may be lines of a certificate: to search all of an image takes minutes."""
    return b"\n".join(re.findall(rb"[A-Za-z0-9+/=]{64,}", content))


def test_a_private_index_is_used_and_leaves_no_trace(project, index, engine, fresh, capfd):
    folder = private(project, index, "1.0")
    (Path(folder) / "secret_code.py").write_text("CODE_OF_THE_PROJECT = 1\n")
    container_backend.run(folder)
    captured = capfd.readouterr()
    assert captured.out == "1.0\n"
    found = only_run()
    content = everything(engine, found.data.tags[labels_and_tags.TAG_IMAGE])
    certificates = Path("/etc/ssl/certs/ca-certificates.crt").read_bytes().splitlines()
    in_base = base64_in(everything(engine, BASE))
    assert b"tinything" in content
    assert PASSWORD.encode() not in content
    assert b"CODE_OF_THE_PROJECT" not in content
    assert b"secret_code" not in content
    assert b"installer/bin/uv" not in content
    added = [line for line in certificates if len(line) == 64 and line not in in_base]
    encoded = base64_in(content)
    assert not [line for line in added if line in encoded]
    for text in (captured.err, str(found.data.tags), str(found.data.params)):
        assert PASSWORD not in text


@pytest.mark.slow
def test_a_login_from_netrc(project, index, fresh, capfd, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {index.partition(':')[0]} login {USER} password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    container_backend.run(private(project, index, "2.0", login=""))
    assert capfd.readouterr().out == "2.0\n"


def test_a_refused_login_is_said_without_the_password(project, index, fresh):
    folder = private(project, index, "1.*", login="me:wr0ng-p4ssword@")
    done = run_command("container-backend", "build", folder)
    assert done.returncode == 6
    assert "resolving the requirements: failed" in done.stderr
    assert "wr0ng-p4ssword" not in done.stderr + done.stdout
    assert done.stdout == ""


def test_a_requirement_that_does_not_exist_ends_the_run_with_the_reason(project, engine, fresh):
    folder = project("entry_points: {main: {command: 'true'}}", requirements__txt="pip==0.0.0.1\n")
    images = environment_images(engine)
    done = run_command("container-backend", "run", folder)
    assert done.returncode == 6
    assert "there is no version of pip==0.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
    found = only_run()
    assert found.info.status == "FAILED"
    assert "pip==0.0.0.1" in found.data.tags[labels_and_tags.TAG_REASON]
    assert containers_of(engine, found.info.run_id) == []
    assert environment_images(engine) == images


def test_requirements_that_contradict_each_other_are_explained_whole(project, engine, fresh):
    folder = project(
        "entry_points: {main: {command: 'true'}}",
        requirements__txt="pandas==2.2.2\nnumpy==1.20\nscipy==1.17.1\n",
    )
    images = environment_images(engine)
    done = run_command("container-backend", "run", folder)
    assert done.returncode == 6
    for part in ("No solution found", "pandas==2.2.2 depends on numpy", "you require numpy==1.20",
                 "your requirements are unsatisfiable."):  # fmt: skip
        assert part in done.stderr
    assert "cannot all be met at once" in done.stderr
    assert "Traceback" not in done.stderr
    assert "you require numpy==1.20" in only_run().data.tags[labels_and_tags.TAG_REASON]
    assert environment_images(engine) == images


def test_another_interpreter_than_the_one_declared(project, engine, fresh):
    folder = project("entry_points: {main: {command: 'true'}}", python_env__yaml="python: '3.12'\n")
    done = run_command("container-backend", "run", folder, "-c", json.dumps({"base_image": BASE}))
    assert done.returncode == 6
    assert f"The base image '{BASE}' has Python 3.11." in done.stderr
    assert ", and not 3.12. '" in done.stderr
    assert "python_env.yaml' asks for Python 3.12." in done.stderr
    assert '"base_image": {"3.12": "IMAGE"}' in done.stderr
    assert only_run().info.status == "FAILED"


def test_a_base_without_an_interpreter(project, engine, fresh):
    image = "container-backend-test/no-python:1"
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w"):
        pass
    built = client_of(engine).images.build(
        fileobj=io.BytesIO(
            f"FROM {BASE}\nRUN rm -f /usr/bin/python3* /usr/local/bin/python3*\n".encode()
        ),
        tag=image,
        rm=True,
    )[0]
    try:
        folder = project("entry_points: {main: {command: 'true'}}")
        with pytest.raises(container_backend.BuildError, match="has no python3"):
            container_backend.build(folder, backend_config={"base_image": image})
    finally:
        remove_images(engine, built.id)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_build_stops_in_the_engine_and_kills_the_run(
    project, index, engine, fresh, number
):
    package = f"anything-{uuid.uuid4().hex}"
    folder = project(
        "entry_points: {main: {command: 'true'}}",
        requirements__txt=f"-i http://{index}/slow{number}\n{package}\n",
    )
    with command("container-backend", "run", folder) as process:
        wait_until(lambda: "fetching the installer" in process.stderr.readline(), 120)
        wait_until(lambda: _resolving(package))
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert only_run().info.status == "KILLED"
    assert only_run().data.tags[labels_and_tags.TAG_REASON]
    wait_until(lambda: not _resolving(package))


def _resolving(package: str) -> list[int]:
    """The installers, among all processes of this machine, that look for a package."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[:3] == [b"/installer/uv", b"pip", b"compile"]:
                declared = folder / "root" / "declared" / "requirements.txt"
                found += [int(folder.name)] if package in declared.read_text() else []
    return found


def empty(project) -> str:
    """A project with an environment of its own, for which nothing is fetched."""
    return project(requirements__txt=f"--find-links https://{uuid.uuid4()}.test/\n")


def test_build_prints_the_reference_and_finds_it_the_second_time(project, engine, fresh):
    folder = empty(project)
    first = run_command("container-backend", "build", folder)
    again = run_command("container-backend", "build", folder, "--json")
    assert first.returncode == again.returncode == 0, first.stderr
    told = json.loads(again.stdout)
    assert told["image"] == first.stdout.strip()
    assert "Using environment image" in again.stderr
    labels = client_of(engine).images.get(told["image"]).labels
    assert labels[labels_and_tags.LABEL_ENVIRONMENT_HASH] == told["environment_hash"]
    assert runs() == []


def test_an_image_is_found_by_its_hash_whatever_it_is_called(project, engine, fresh):
    folder = empty(project)
    reference = container_backend.build(folder)
    client_of(engine).images.get(reference).tag("container-backend-test/renamed", "1")
    remove_images(engine, reference)
    assert container_backend.build(folder) == "container-backend-test/renamed:1"


@pytest.mark.slow
def test_a_light_package_more_leaves_the_other_layers_as_they_are(project, index, engine, fresh):
    def layers(requirements: str) -> list[str]:
        folder = project(
            requirements__txt=f"--extra-index-url http://{USER}:{PASSWORD}@{index}/simple\n{requirements}"
        )
        return (
            client_of(engine).images.get(container_backend.build(folder)).attrs["RootFS"]["Layers"]
        )

    before = layers("numpy\ntinything==1.0\n")
    after = layers("numpy\ntinything==2.0\n")
    differing = [
        position
        for position, pair in enumerate(zip(before, after, strict=True))
        if pair[0] != pair[1]
    ]
    # The layers: base, environment, heavy, medium, light, direct, lock, working directory.
    assert min(differing) == len(before) - 3


@pytest.mark.slow
def test_what_is_installed_can_be_imported_and_is_compiled(project, index, engine, fresh, capfd):
    folder = private(project, index, "1.0")
    (Path(folder) / "MLproject").write_text(
        "entry_points: {main: {command: 'find /mlflow/environment -name tinything*.pyc'}}\n"
    )
    container_backend.run(folder)
    assert "tinything.cpython-311.pyc" in capfd.readouterr().out


def test_a_template_of_the_project_and_its_secret(project, engine, fresh, capfd, monkeypatch):
    """The step sees the secret; the image, its history and its labels do not."""
    monkeypatch.setenv("TEAM_TOKEN", "t0p-s3cret-token")
    folder = project("entry_points: {main: {command: 'cat /etc/team; echo $MINE'}}\n")
    Path(folder, "Dockerfile.j2").write_text(
        "{% block system %}\n"
        "RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /etc/team\n"
        "{% endblock %}\n"
        "{% block final %}{{ super() }}ENV MINE=yes\n{% endblock %}\n"
    )
    config = {"build_secrets": {"token": {"env": "TEAM_TOKEN"}}}
    container_backend.run(folder, backend_config=config)
    captured = capfd.readouterr()
    assert captured.out == "16\nyes\n"
    assert "t0p-s3cret" not in captured.err + str(only_run().data.tags)
    reference = container_backend.build(folder, backend_config=config)
    exported = b"".join(client_of(engine).images.get(reference).save())
    assert b"t0p-s3cret" not in exported
    assert "t0p-s3cret" not in json.dumps(client_of(engine).api.history(reference))


def test_a_step_that_fails_and_prints_its_secret_does_not_make_it_known(
    project, fresh, capfd, monkeypatch
):
    monkeypatch.setenv("TEAM_TOKEN", "t0p-s3cret-token")
    folder = with_steps(
        project("entry_points: {main: {command: 'true'}}\n"),
        "system",
        "RUN --mount=type=secret,id=token echo it is $(cat /run/secrets/token) && false",
    )
    with pytest.raises(container_backend.BuildError, match=r"it is \*\*\*") as caught:
        container_backend.run(
            folder, backend_config={"build_secrets": {"token": {"env": "TEAM_TOKEN"}}}
        )
    tags = str(only_run().data.tags)
    assert "it is ***" in tags
    assert "t0p-s3cret" not in str(caught.value) + capfd.readouterr().err + tags


# Says when it was built.
TELLS_WHEN = """
import time
from setuptools import setup
open("built.py", "w").write(f"WHEN = {time.time_ns()}")
setup(name="built", version="1.0", py_modules=["built"])
"""


@pytest.mark.slow
def test_a_package_is_built_once_for_a_project(engine, tmp_path, fresh, capfd, monkeypatch):
    packages = {"built-1.0.tar.gz": source("built", "1.0", TELLS_WHEN)}
    packages |= {f"more-{n}.0-py3-none-any.whl": wheel("more", f"{n}.0") for n in range(3)}
    show = 'python -c "import built; print(built.WHEN)"'
    said = []
    with serving(engine, packages) as address:
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"http://{address}/simple")
        monkeypatch.setenv("PIP_TRUSTED_HOST", address.partition(":")[0])
        for folder, more in (("one", 0), ("one", 1), ("two", 2)):
            root = tmp_path / folder
            root.mkdir(exist_ok=True)
            (root / "MLproject").write_text(f"entry_points: {{main: {{command: '{show}'}}}}\n")
            (root / "requirements.txt").write_text(f"built\nmore=={more}.0\n")
            container_backend.run(str(root))
            said.append(capfd.readouterr().out)
    assert said[0] == said[1]
    assert said[2] != said[0]
