"""What others do with the same project: a plain Dockerfile, MLflow's own docker runs, docker."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import Engine

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "example_project"
PLAIN_IMAGE = "container-backend-bench/plain:1"
# As anybody would write it; the bundle is for networks that need it, like ours.
PLAIN_DOCKERFILE = """
FROM python:3.11-slim
COPY ca.pem /ca.pem
ENV PIP_CERT=/ca.pem
RUN python3 -m venv /venv
COPY requirements.txt /requirements.txt
RUN /venv/bin/pip install --no-cache-dir -r /requirements.txt
ENV PATH=/venv/bin:$PATH
"""


def build_plain_image(engine: Engine, requirements: str) -> float:
    """With the classic builder, from nothing; seconds."""
    bundle = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    files = {
        "Dockerfile": PLAIN_DOCKERFILE.encode(),
        "requirements.txt": requirements.encode(),
        "ca.pem": Path(bundle).read_bytes() if bundle else b"",
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    started = time.perf_counter()
    engine.streams.images.build(
        fileobj=packed, custom_context=True, tag=PLAIN_IMAGE, nocache=True, rm=True
    )
    return time.perf_counter() - started


def mlflow_docker_project(folder: Path) -> Path:
    """The example as a project for MLflow's own ``docker_env``."""
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    text = (EXAMPLE / "MLproject").read_text()
    changed = text.replace("python_env: python_env.yaml", f"docker_env: {{image: '{PLAIN_IMAGE}'}}")
    if changed == text:
        raise RuntimeError("the example's MLproject has no python_env to replace")
    (folder / "MLproject").write_text(changed)
    return folder


def run(program: str, *arguments: str, cwd: Path, **environ: str) -> None:
    """Run a command of this environment to its end, as a person's shell would.

    Raises:
        RuntimeError: It failed; with its output.
    """
    path = Path(sys.executable).with_name(program)
    command = [str(path) if path.exists() else program, *arguments]
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**inherited, **environ}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")


def bare_container(engine: Engine, image: str, archive: bytes, command: list[str]) -> None:
    """What a run cannot do without: create, fill, start, wait, remove."""
    api = engine.client.api
    created = api.create_container(image, command, host_config=api.create_host_config(init=True))
    try:
        api.put_archive(created["Id"], "/", archive)
        api.start(created["Id"])
        api.wait(created["Id"])
    finally:
        api.remove_container(created["Id"], force=True)


def remove_images(engine: Engine, references: Mapping[str, None] | list[str]) -> None:
    """Remove what was built for measuring."""
    from docker.errors import APIError

    for reference in references:
        with contextlib.suppress(APIError):
            engine.client.api.remove_image(reference, force=True)
