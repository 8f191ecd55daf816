"""What others do with the same project: a plain Dockerfile, MLflow's own docker runs, docker."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.client import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from container_backend.engine import Engine

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "example_project"
BASE = "python:3.11-slim"
PLAIN_IMAGE = "container-backend-bench/plain:1"
# The usual way to write it; the bundle of certificates is for networks with one of their own.
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
    client_of(engine).images.build(
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


class Manager:
    """MLflow's own environments on this machine: ``mlflow run --env-manager NAME``."""

    def __init__(self, name: str, folder: Path) -> None:
        """Nothing is there yet."""
        self.name = name
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "pyenv").symlink_to(ROOT / "bench" / "pyenv.sh")
        (self.project / "MLproject").write_text(
            "python_env: python_env.yaml\nentry_points: {main: {command: 'true'}}\n"
        )
        self._environments = 0

    def _first_run(self, caches: Path, *more: str) -> float:
        """Seconds of the run that makes the environment, less those of one that finds it."""
        shutil.copy(EXAMPLE / "requirements.txt", self.project)
        with (self.project / "requirements.txt").open("a") as file:
            file.write("".join(f"{line}\n" for line in more))
        (self.project / "python_env.yaml").write_text(
            f"python: '{platform.python_version()}'\n"
            "build_dependencies: [pip, setuptools, wheel]\ndependencies: [-r requirements.txt]\n"
        )
        self._environments += 1
        environ = {
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "BENCH_PYTHON": str(Path(sys.executable).resolve()),
            "PYENV_ROOT": str(self.folder / "pyenv"),
            "MLFLOW_ENV_ROOT": str(self.folder / f"environments-{self._environments}"),
            "UV_CACHE_DIR": str(caches / "uv"),
            "PIP_CACHE_DIR": str(caches / "pip"),
            "UV_SYSTEM_CERTS": "1",
            "UV_NATIVE_TLS": "1",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
        }
        times = []
        for _ in range(2):
            started = time.perf_counter()
            run("mlflow", "run", str(self.project), "--env-manager", self.name,
                cwd=self.folder, **environ)  # fmt: skip
            times.append(time.perf_counter() - started)
        shutil.rmtree(environ["MLFLOW_ENV_ROOT"])
        return times[0] - times[1]

    def from_nothing(self) -> float:
        """Without any download of before; seconds."""
        shutil.rmtree(self.folder / "caches", ignore_errors=True)
        return self._first_run(self.folder / "caches")

    def warm(self) -> float:
        """With all downloads; seconds."""
        return self._first_run(self.folder / "caches")

    def one_more(self) -> float:
        """With a small package more: another environment; seconds."""
        return self._first_run(self.folder / "caches", "humanize")


def wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Until a server listens."""
    host, _, port = address.partition(":")
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens at {address}")


@contextlib.contextmanager
def registry() -> Iterator[tuple[str, Callable[[], int]]]:
    """A registry of this machine: its address, and how many bytes it has stored."""
    with tempfile.TemporaryDirectory() as temporary, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        data, settings = Path(temporary, "data"), Path(temporary, "config.yml")
        data.mkdir()
        settings.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{data}'}}}}\n"
            f"http: {{addr: '{address}'}}\n"
        )
        process = subprocess.Popen(
            ["docker-registry", "serve", str(settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(address, process)
            yield address, lambda: sum(f.stat().st_size for f in data.rglob("*") if f.is_file())
        finally:
            process.terminate()
            process.wait()


def big_project(folder: Path) -> Path:
    """A project with 1 GB of data, and a package of 100 MB that is sent to be installed."""
    package = folder / "package"
    package.mkdir()
    (folder / "MLproject").write_text("entry_points: {main: {command: 'true'}}\n")
    (folder / "requirements.txt").write_text("./package\n")
    (package / "pyproject.toml").write_text("[project]\nname = 'big'\nversion = '1'\n")
    (package / "big.py").write_text("")
    with (package / "data.bin").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1_000_000))
    with (folder / "data.bin").open("wb") as file:
        file.truncate(1_000_000_000)
    return folder


# A process starts with the memory of the one that starts it, and its peak counts that: this one is small.
_MEASURE: Final = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_memory(program: str, *arguments: str) -> int:
    """The most that a command of this environment has in memory at any time, in bytes.

    Raises:
        RuntimeError: It failed.
    """
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MEASURE, *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stderr}")
    return int(done.stdout) * 1024


def bare_container(engine: Engine, image: str, archive: bytes, command: list[str]) -> None:
    """What a run cannot do without: create, fill, start, wait, remove."""
    api = client_of(engine).api
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
            client_of(engine).api.remove_image(reference, force=True)
