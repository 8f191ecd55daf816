"""Built twice from the same: the same files, to the last bit and second."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.machine.content import ONE_TIME
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.engines import OwnEngine

if TYPE_CHECKING:
    from container_backend.engine import Engine

# What differs by nature (docs/builds.md), outside of the environment: the times of folders that the
# engine makes so that it can show a step, or a program, something there.
BY_NATURE = {
    *("", "build", "cache", "declared", "installer", "lock", "pristine", "wheels"),
    *("run", "run/secrets", "tmp", "root"),
    *("mlflow", "mlflow/projects", "mlflow/projects/code"),
}
# What it writes into every container.
ENGINES_OWN = ("dev", "proc", "sys", ".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf",
               "etc/mtab")  # fmt: skip


def inventory(
    engine: Engine, image: str, folder: str = labels_and_tags.ENVIRONMENT_DIRECTORY
) -> dict:
    """Path → all that can be said of it: kind, mode, owner, size, time, target and content."""
    created = client_of(engine).api.create_container(image, ["true"])
    try:
        chunks, _ = (
            client_of(engine).api.get_archive(created["Id"], folder)
            if folder != "/"
            else (client_of(engine).api.export(created["Id"]), None)
        )
        with tempfile.TemporaryFile() as packed:
            packed.writelines(chunks)
            packed.seek(0)
            with tarfile.open(fileobj=packed) as tar:
                return {entry.name: _all_of(tar, entry) for entry in tar}
    finally:
        engine.containers.remove(created["Id"])


def _all_of(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> tuple:
    content = tar.extractfile(entry) if entry.isreg() else None
    digest = hashlib.sha256(content.read()).hexdigest() if content is not None else ""
    return (entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, entry.linkname,
            digest)  # fmt: skip


def differing(left: dict, right: dict) -> dict:
    return {
        path: (left.get(path), right.get(path))
        for path in sorted({*left, *right})
        if left.get(path) != right.get(path)
    }


def built_twice(engine: Engine, folder: str, **config: object) -> tuple[str, str]:
    """The ids of two images, of which no step is of the other."""
    first = container_backend.build(folder, backend_config=config)
    first_id = client_of(engine).images.get(first).id
    second = container_backend.build(folder, backend_config={**config, "rebuild": True})
    assert second == first
    second_id = client_of(engine).images.get(second).id
    assert first_id != second_id
    return first_id, second_id


@pytest.mark.usefixtures("base")
@pytest.mark.slow
def test_an_environment_that_is_built_twice_is_the_same_twice(project, engine):
    """A wheel with a program, one that is compiled from source, and a package of the project."""
    folder = project(
        requirements__txt="numpy\ntabulate\nclick\n--no-binary docopt\ndocopt\n./lib\n"
    )
    library = Path(folder, "lib")
    library.mkdir()
    (library / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\n")
    (library / "mine.py").write_text("VALUE = 1\n")
    run_command("container-backend", "lock", folder, check=True)
    first, second = (inventory(engine, image) for image in built_twice(engine, folder))
    assert differing(first, second) == {}
    assert any(path.endswith("/numpy/__pycache__/__init__.cpython-311.pyc") for path in first)
    assert any(path.endswith("/bin/tabulate") for path in first)
    assert any(path.endswith("/mine.py") for path in first)
    assert not any("uv_cache" in path for path in first)
    times = {path: entry[5] for path, entry in first.items() if entry[5] != ONE_TIME}
    assert times == {}


@pytest.mark.usefixtures("base")
def test_bytecode_is_valid_for_its_source(project, engine):
    image = container_backend.build(project(requirements__txt="tabulate\n"))
    program = textwrap.dedent("""
        import os, struct, tabulate
        with open(tabulate.__cached__, "rb") as bytecode:
            _, flags, time, size = struct.unpack("<4sIII", bytecode.read(16))
        source = os.stat(tabulate.__file__)
        print(flags == 0, time == int(source.st_mtime), size == source.st_size)
    """)
    said = client_of(engine).containers.run(image, ["python", "-c", program], remove=True)
    assert said == b"True True True\n"


@pytest.mark.slow
@pytest.mark.usefixtures("base")
def test_system_packages_are_the_same_twice(project, engine):
    folder = project(requirements__txt="six\n", apt__txt="file\nsqlite3\n")
    first, second = (inventory(engine, image, "/") for image in built_twice(engine, folder))
    found = {
        path
        for path in differing(first, second)
        if path not in {*BY_NATURE, "etc"} and not path.startswith(ENGINES_OWN)
    }
    assert found == set()
    assert "usr/bin/sqlite3" in first


@pytest.mark.slow
def test_two_engines_install_the_same_files(project, engine, base, monkeypatch):
    folder = project(requirements__txt="numpy\ntabulate\nsix\nclick\n")
    run_command("container-backend", "lock", folder, check=True)
    config = {"base_image": base}
    reference = container_backend.build(folder, backend_config=config)
    with OwnEngine() as own, own.connected() as second:
        own.take(base, engine)
        monkeypatch.setenv("DOCKER_HOST", own.host)
        assert container_backend.build(folder, backend_config=config) == reference
        first_labels, second_labels = (
            client_of(there).images.get(reference).labels for there in (engine, second)
        )
        assert labels_and_tags.LABEL_LOCK_DIGEST in first_labels
        assert first_labels == second_labels
        files, others = (inventory(there, reference) for there in (engine, second))
        assert differing(files, others) == {}
        bills = [inventory(there, reference, "/mlflow/sbom.cdx.json") for there in (engine, second)]
        assert bills[0] == bills[1]
