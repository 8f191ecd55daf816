"""A project from engine to engine: built, pushed, run where its source is missing, repeated elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.engines import OwnEngine
from tests.support.on_engine import remove_images
from tests.support.projects import EXAMPLE, ROOT, TRUST
from tests.support.runs import logged_metrics, only_run, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine

pytestmark = pytest.mark.usefixtures("fresh")

OTHER_PYTHON = "3.13"
PROGRAM = "/opt/other/bin/container-backend"
# A machine with another Python: an image of one, with this package installed from its wheel.
INSTALL = """
set -e
uv venv --quiet --python /usr/bin/python3 /opt/other
uv pip install --quiet --python /opt/other/bin/python "$1"
touch /opt/ready
exec sleep infinity
"""


@contextlib.contextmanager
def other_machine(engine: Engine, wheel: Path, folders: list[Path]) -> Iterator[list[str]]:
    """A machine that has another Python; gives the words that a command there begins with."""
    subprocess.run([ROOT / "scripts/base-image", OTHER_PYTHON], check=True, capture_output=True)
    uv = Path(sys.executable).with_name("uv")
    certificates = Path("/etc/ssl/certs")
    seen = [f"{folder}:{folder}" for folder in folders]
    seen += [f"{each}:{each}:ro" for each in (wheel, certificates)]
    container = client_of(engine).containers.run(
        f"python:{OTHER_PYTHON}-slim",
        ["sh", "-c", INSTALL, "install", str(wheel)],
        detach=True,
        network_mode="host",
        volumes=[*seen, f"{uv}:/usr/local/bin/uv:ro"],
        environment={"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1", "UV_NO_CACHE": "1"},
    )
    try:
        ready = container.exec_run(
            ["sh", "-c", "until [ -e /opt/ready ]; do sleep 0.2; done"], demux=False
        )
        assert ready.exit_code == 0, container.logs().decode()
        names_of_variables = ("DOCKER_CONFIG", "MLFLOW_TRACKING_URI", "XDG_STATE_HOME")
        variables = [f"--env={name}={os.environ[name]}" for name in names_of_variables]
        yield ["docker", "exec", *variables, container.id]
    finally:
        container.remove(force=True)


@pytest.mark.slow
def test_the_example_is_the_same_on_every_engine_and_every_python(
    engine, registry, logged_in, wheel, workplace, own_store, tmp_path, monkeypatch
):
    logged_in(registry)
    port = int(registry.partition(":")[2])
    image = f"{registry}/team/salary:1.0"
    run_command("container-backend", "build", str(EXAMPLE), "-t", image, "--push", check=True)

    with OwnEngine() as second, second.reaches(port), monkeypatch.context() as there:
        there.setenv("DOCKER_HOST", second.host)
        run_command(
            *("container-backend", "run", f"docker://{image}", *TRUST, "-P", "n_jobs_param=2"),
            check=True,
        )
    first = only_run()
    assert first.info.status == "FINISHED"
    assert first.data.tags["mlflow.source.name"].startswith(f"docker://{image}@sha256:")

    with OwnEngine() as third, third.reaches(port):
        folders = [workplace, tmp_path, third.folder]
        with other_machine(engine, wheel, folders) as words:
            words.insert(2, f"--env=DOCKER_HOST={third.host}")
            version = subprocess.run(
                [*words, "/opt/other/bin/python", "--version"], capture_output=True, check=True
            )
            assert version.stdout.startswith(f"Python {OTHER_PYTHON}.".encode())
            done = subprocess.run(
                [*words, PROGRAM, "rerun", first.info.run_id, "--json", "--trust"],
                capture_output=True,
                text=True,
                check=False,
            )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {line["verdict"] for line in said["lines"]} == {"same"}
    (again,) = [run for run in runs() if run.info.run_id != first.info.run_id]
    assert again.data.tags[labels_and_tags.TAG_RERUN_OF] == first.info.run_id
    assert len(logged_metrics(again)) > 3
    assert logged_metrics(again) == logged_metrics(first)

    compared = run_command("container-backend", "diff", first.info.run_id, again.info.run_id)
    assert compared.returncode == 0, compared.stdout
    assert "packages" in compared.stdout


def test_a_run_of_an_image_that_is_gone_is_repeated_only_with_best_effort(project, engine):
    folder = project("entry_points: {main: {command: 'echo one'}}\n")
    tag = f"example.test/gone/{uuid.uuid4().hex[:8]}:1"
    run_command("container-backend", "build", folder, "-t", tag, check=True)
    run_command("container-backend", "run", f"docker://{tag}", *TRUST, check=True)
    first = only_run()
    gone = client_of(engine).images.get(tag).id
    remove_images(engine, tag)
    Path(folder, "MLproject").write_text("entry_points: {main: {command: 'echo two'}}\n")
    run_command("container-backend", "build", folder, "-t", tag, check=True)

    refused = run_command("container-backend", "rerun", first.info.run_id, "--trust")
    assert refused.returncode != 0
    assert f"neither the engine nor a registry has {gone}" in refused.stderr
    assert "--best-effort" in refused.stderr
    assert len(runs()) == 1

    again = run_command("container-backend", "rerun", first.info.run_id, "--trust", "--best-effort")
    assert again.returncode == 0, again.stderr
    assert "two" in again.stdout
    assert len(runs()) == 2
    (compared,) = [line for line in again.stdout.splitlines() if line.startswith("code")]
    assert compared.endswith("differs")
