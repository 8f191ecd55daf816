"""A real engine, a real tracking store, real projects. Nothing is mocked, nothing is skipped."""

from __future__ import annotations

import base64
import functools
import json
import os
import subprocess
import sys
import textwrap
import uuid
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.store.db import utils as mlflow_database

import container_backend
from container_backend.engine import Engine, connect
from tests.support.client import client_of
from tests.support.on_engine import (
    BASE,
    environment_images,
    remove_environment_images,
    remove_images,
)
from tests.support.projects import EXAMPLE, ROOT
from tests.support.servers import (
    private_registry,
)
from tests.support.store import copy_empty_store
from tests.support.worker import make_base

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    connected = connect()
    make_base(connected)
    yield connected
    connected.close()


@pytest.fixture(scope="session", autouse=True)
def _worker(engine, tmp_path_factory) -> Iterator[None]:
    """A base and a state folder of this worker's own: one owner and one supervisor for its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINER_BACKEND_BASE_IMAGE", BASE)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        # MLflow reads all of its migrations for each new store, and finds the same revision.
        latest = functools.cache(mlflow_database._get_latest_schema_revision)
        patch.setattr(mlflow_database, "_get_latest_schema_revision", latest)
        yield


@pytest.fixture(scope="session")
def _store(tmp_path_factory) -> Path:
    """The store of this worker, emptied for each test: so its tests share a tracking proxy."""
    return tmp_path_factory.mktemp("store of worker") / "mlflow.db"


@pytest.fixture(autouse=True)
def workplace(tmp_path_factory, _store, monkeypatch) -> Path:
    """A current directory of its own and an empty store for each test."""
    folder = tmp_path_factory.mktemp("work place")
    monkeypatch.chdir(folder)
    mlflow.set_tracking_uri(None)  # removes the variable if an address was set
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{_store}")
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    copy_empty_store(_store, f"{folder}/mlruns/0")
    return folder


@pytest.fixture
def own_store(workplace, monkeypatch) -> Path:
    """The file of a store that no other test uses, with a proxy of its own."""
    file = workplace / "store" / "mlflow.db"
    file.parent.mkdir()
    copy_empty_store(file, f"{workplace}/mlruns/0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    return file


@pytest.fixture
def own_state(workplace, monkeypatch) -> Path:
    """A state folder of the test's own, and so an owner and a supervisor."""
    folder = workplace / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def no_store(own_store) -> None:
    """The store is not made yet, as on a machine where MLflow was never used."""
    own_store.unlink()


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
    client_of(engine).images.get(BASE).tag(name)
    before = environment_images(engine)
    yield name
    remove_environment_images(engine, environment_images(engine) - before)
    remove_images(engine, name)


@pytest.fixture
def fresh(engine) -> Iterator[None]:
    """Images that a test makes go with it."""
    before = environment_images(engine)
    yield
    remove_environment_images(engine, environment_images(engine) - before)


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
