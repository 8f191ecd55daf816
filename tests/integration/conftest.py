"""A real engine, a real tracking store, real projects. Nothing is mocked, nothing is skipped."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
from docker.errors import ImageNotFound
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import engine as engines
from container_backend import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container_backend.submitted import ContainerRun

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "example_project"
BASE = "python:3.11-slim"


def wait_until(condition: Callable[[], object], seconds: float = 60) -> object:
    """The first true answer; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {condition}")


@pytest.fixture(scope="session")
def engine() -> Iterator[engines.Engine]:
    connected = engines.connect()
    yield connected
    connected.close()


@pytest.fixture(autouse=True)
def workplace(tmp_path_factory, monkeypatch) -> Path:
    """A current directory and a store of its own for each test."""
    folder = tmp_path_factory.mktemp("work place")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/store/mlflow.db")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    (folder / "store").mkdir()
    mlflow.set_tracking_uri(None)
    return folder


@pytest.fixture
def project(tmp_path) -> Callable[..., str]:
    """Writes a project; gives its folder."""

    def write(mlproject: str | None = None, /, **files: str) -> str:
        root = tmp_path / "my project"
        root.mkdir(exist_ok=True)
        texts = {name.replace("__", "."): text for name, text in files.items()}
        if mlproject is not None:
            texts["MLproject"] = mlproject
        for name, text in texts.items():
            (root / name).write_text(textwrap.dedent(text), encoding="utf-8")
        return str(root)

    return write


@pytest.fixture
def script(project) -> Callable[..., str]:
    """A project with one entry point that runs a Python program."""

    def write(program: str, parameters: str = "{}", command: str = "python main.py") -> str:
        return project(
            f"name: test\nentry_points:\n  main:\n    parameters: {parameters}\n"
            f"    command: {command!r}\n",
            main__py=program,
        )

    return write


@pytest.fixture
def base(engine) -> Iterator[str]:
    """The base by a name of the test's own: it can be taken away, and has no repository digest."""
    name = f"container-backend-test/base:{uuid.uuid4().hex}"
    engine.client.images.get(BASE).tag(name)
    before = environment_images(engine)
    yield name
    remove_environment_images(engine, environment_images(engine) - before)
    engine.client.images.remove(name)


@pytest.fixture
def fresh(engine) -> Iterator[None]:
    """Images that a test makes go with it."""
    before = environment_images(engine)
    yield
    remove_environment_images(engine, environment_images(engine) - before)


def with_steps(folder: str, block: str, steps: str) -> str:
    """The project with steps of its own in its template."""
    template = f"{{% block {block} %}}\n{steps}\n{{% endblock %}}\n"
    Path(folder, "Dockerfile.j2").write_text(template)
    return folder


def only_run() -> mlflow.entities.Run:
    """The one run that there is, in whatever experiment."""
    found = runs()
    assert len(found) == 1
    return found[0]


def runs() -> list[mlflow.entities.Run]:
    client = MlflowClient()
    return client.search_runs([found.experiment_id for found in client.search_experiments()])


def status_of(run_id: str) -> str:
    """As the store has it."""
    return mlflow.get_run(run_id).info.status


def kept_log(run_id: str) -> str:
    """What is among the artifacts of the output of a run."""
    file = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="logs/container.log")
    return Path(file).read_bytes().decode()


def supervisors(workplace: Path) -> list[int]:
    """The processes of the supervisor that was started on demand for a test's runs."""
    mark = f"XDG_STATE_HOME={workplace}/state".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"container_backend.supervise" in words and mark in (
                folder / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def output_of(run: ContainerRun) -> str:
    """What its program has written so far."""
    return b"".join(run.logs()).decode()


def logged_metrics(run: mlflow.entities.Run) -> dict[str, float]:
    """Those that the program logged."""
    return {
        name: value for name, value in run.data.metrics.items() if not name.startswith("system/")
    }


def containers_of(engine: engines.Engine, run_id: str) -> list[object]:
    # The SDK asks for each of them once more; one that is gone by then is not there.
    return engine.client.containers.list(
        all=True, filters={"label": f"{names.LABEL_RUN_ID}={run_id}"}, ignore_removed=True
    )


def all_containers(engine: engines.Engine) -> set[str]:
    listed = engine.client.containers.list(all=True, ignore_removed=True)
    return {found.id for found in listed}


def environment_images(engine: engines.Engine) -> set[str]:
    """Those of ours but for those that share code, which come and go by themselves."""
    found = engine.client.api.images(filters={"label": names.LABEL_ENVIRONMENT_HASH})
    return {image["Id"] for image in found if names.LABEL_SHARED_CODE not in image["Labels"]}


def remove_environment_images(engine: engines.Engine, images: set[str]) -> None:
    """First those that share code, which may be made of them; supervisors remove those, too."""
    shared = engine.client.api.images(filters={"label": names.LABEL_SHARED_CODE}, quiet=True)
    for image in [*shared, *images]:
        with contextlib.suppress(ImageNotFound):
            engine.client.api.remove_image(image, force=True)


def everything(engine, image: str) -> bytes:
    """All bytes of an image: its layers, its configuration, its history."""
    exported = io.BytesIO(b"".join(engine.client.images.get(image).save(chunk_size=2**20)))
    found = [json.dumps(engine.client.api.inspect_image(image)).encode()]
    found.append(json.dumps(engine.client.api.history(image)).encode())
    with tarfile.open(fileobj=exported) as outer:
        for member in outer:
            content = outer.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            data = content.read()
            if member.name.endswith("layer.tar"):
                with tarfile.open(fileobj=io.BytesIO(data)) as layer:
                    found += [entry.name.encode() for entry in layer]
            found.append(data)
    return b"\n".join(found)


@contextlib.contextmanager
def command(*arguments: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A command of this environment, running; ended by its pid if the test did not wait."""
    program = str(Path(sys.executable).with_name(arguments[0]))
    process = subprocess.Popen(
        [program, *arguments[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def run_command(
    *arguments: str, check: bool = False, **options: object
) -> subprocess.CompletedProcess[str]:
    """A command of this environment, to its end; with ``check``, it must not fail."""
    with command(*arguments, **options) as process:
        out, err = process.communicate(timeout=300)
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def run_uv(*arguments: object, cwd: Path | None = None) -> None:
    """The uv of this environment, with the certificates of this machine."""
    subprocess.run(
        [Path(sys.executable).with_name("uv"), *map(str, arguments)],
        cwd=cwd,
        check=True,
        env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"},
    )


@contextlib.contextmanager
def tiny_disk(folder: Path, size: str = "8k") -> Iterator[None]:
    """A disk with next to no room in the place of a folder, as long as the machine is up."""
    options = f"size={size},mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room on a disk."""
    with (folder / "filler").open("wb", 0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(1024)):
            pass


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def tracking_server(folder: Path, host: str) -> Iterator[str]:
    """A real ``mlflow server``; gives its address."""
    port = free_port(host)
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("mlflow")),
            *("server", "--host", host, "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
            *("--artifacts-destination", str(folder / "server-artifacts")),
        ],
        stdout=(folder / "server.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_until(lambda: listens(host, port) or process.poll() is not None)
        assert process.poll() is None, (folder / "server.log").read_text()
        yield f"http://{host}:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


@pytest.fixture(scope="session")
def example_image() -> str:
    """The example's environment, which has MLflow in it; built once."""
    return container_backend.build(str(EXAMPLE))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--installer", "uv", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
        env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"},
    )
    return next(folder.glob("*.whl"))


@pytest.fixture
def registry(tmp_path) -> Iterator[str]:
    """A real registry with a password; gives ``host:port``."""
    with private_registry(tmp_path) as address:
        yield address


@contextlib.contextmanager
def private_registry(tmp_path: Path) -> Iterator[str]:
    """A real registry whose data is in a folder; gives ``host:port``."""
    port = free_port()
    (tmp_path / "data").mkdir()
    subprocess.run(
        ["htpasswd", "-Bbc", str(tmp_path / "htpasswd"), "me", "r3gistry-password"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        f"auth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "config.yml")],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: listens("127.0.0.1", port) or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait()


@pytest.fixture
def logged_in(tmp_path, monkeypatch):
    """Logs in to a registry, as ``docker login`` does."""

    def login(address: str) -> None:
        auth = base64.b64encode(b"me:r3gistry-password").decode()
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker" / "config.json").write_text(
            json.dumps({"auths": {address: {"auth": auth}}})
        )
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))

    return login
