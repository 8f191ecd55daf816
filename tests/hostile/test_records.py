"""Programs that change what is known of their run, and records of others that are repeated."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import container_backend
from container_backend.store import CONTEXT, MlflowStore, RunRecord, Store, artifacts
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.runs import only_run

if TYPE_CHECKING:
    from container_backend.runs.handle import ContainerRun

PASSWORD = "p4ssw0rd-0f-mine"
# With a login of the database, which the tracking proxy does not give: says to the store that the
# artifacts of the run are elsewhere, and leaves a file for that place.
MOVES = """
    import os, pathlib, sqlite3, sys
    store = sqlite3.connect(sys.argv[2])
    store.execute("update runs set artifact_uri = ? where run_uuid = ?",
                  (sys.argv[1], os.environ["MLFLOW_RUN_ID"]))
    store.commit()
    for folder in ("/mlflow/record/environment", "/mlflow/record/.ssh"):
        pathlib.Path(folder).mkdir(exist_ok=True)
        pathlib.Path(folder, "authorized_keys").write_text("of the program")
    print("said by the program")
"""


@pytest.mark.parametrize(
    "detach",
    [
        pytest.param(False, id="waited for", marks=pytest.mark.slow),
        pytest.param(True, id="detached"),
    ],
)
def test_what_is_written_at_the_end_goes_to_the_place_that_was_noted_before_the_start(
    script, tmp_path, own_store, detach
):
    home = tmp_path / "home"
    home.mkdir()
    run = _move(script, home, own_store, detach=detach)
    assert run.wait()
    assert list(home.iterdir()) == []


def _move(script, home: Path, store: Path, *, detach: bool) -> ContainerRun:
    return container_backend.run(
        script(MOVES, "{home: string, db: string}", "python main.py {home} {db}"),
        parameters={"home": str(home), "db": str(store)},
        docker_args={"volume": f"{store.parent}:{store.parent}"},
        backend_config={"detach": detach},
    )


def test_without_the_guard_the_program_chooses_the_place(script, tmp_path, own_store, monkeypatch):
    find_run = Store.find_run
    monkeypatch.setattr(Store, "find_run", lambda self, run_id, _="": find_run(self, run_id))
    home = tmp_path / "home"
    home.mkdir()
    _move(script, home, own_store, detach=False)
    assert (home / "logs" / "container.log").read_text() == "said by the program\n"


ADDS = """
    import pathlib
    for name in (".ssh/authorized_keys", "environment/Dockerfile", "record/run.json"):
        file = pathlib.Path("/mlflow/record", name)
        file.parent.mkdir(exist_ok=True)
        file.write_text("of the program")
"""


@pytest.mark.slow
def test_files_that_a_program_adds_to_its_record_are_not_logged(script, engine, monkeypatch):
    kept = {"detach": True, "keep": "always"}
    # The folder is root's.
    run = container_backend.run(script(ADDS), backend_config=kept, docker_args={"user": "0:0"})
    assert run.wait()
    assert _logged_of(run.run_id) == []
    # The control: without the guard, what is found in the container is logged.
    monkeypatch.setattr(
        artifacts, "_recorded", lambda folder, _: filter(Path.is_file, folder.rglob("*"))
    )
    store = MlflowStore(mlflow.get_tracking_uri())
    record = RunRecord(store, store.find_run(run.run_id))
    artifacts.log_environment(engine, record, run.container_id, "")
    assert "authorized_keys" in _logged_of(run.run_id)


def _logged_of(run_id: str) -> list[str]:
    """The names of the artifacts of a run that hold what its program wrote."""
    root = Path(mlflow.artifacts.download_artifacts(run_id=run_id))
    files = [file for file in root.rglob("*") if file.is_file()]
    return [file.name for file in files if b"of the program" in file.read_bytes()]


@pytest.fixture
def home(tmp_path, monkeypatch) -> None:
    """A user with a login for the index of the machine."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine pypi.org login me password {PASSWORD}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://pypi.org/simple")


def test_steps_of_a_record_are_not_run_unless_it_is_trusted(home, project, engine):
    folder = project(
        "entry_points: {main: {command: 'cat /loot 2>/dev/null || echo nothing'}}\n",
        requirements__txt=f"--find-links https://{uuid.uuid4()}.test/\n",
    )
    container_backend.run(folder)
    first = only_run().info.run_id
    _add_step(first, "RUN --mount=type=secret,id=netrc cat /run/secrets/netrc > /loot || true\n")
    remove_images(engine, only_run().data.tags["container_backend.image"])
    done = run_command("container-backend", "rerun", first)
    assert done.returncode == 2
    assert "by other steps than this version" in done.stderr
    assert "--trust" in done.stderr
    # The control: the same record, trusted.
    done = run_command("container-backend", "rerun", first, "--trust")
    assert PASSWORD in done.stdout


def _add_step(run_id: str, step: str) -> None:
    """Change the build context among the artifacts of a run, as its program may."""
    before = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=CONTEXT))
    after = io.BytesIO()
    with tarfile.open(before) as old, tarfile.open(fileobj=after, mode="w:gz") as new:
        for member in old:
            content = old.extractfile(member).read() if member.isfile() else b""
            if member.name == "Dockerfile":
                content += step.encode()
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    before.write_bytes(after.getvalue())
    MlflowClient().log_artifact(run_id, str(before), str(Path(CONTEXT).parent))


def test_a_record_takes_no_variable_of_who_repeats_it(script, monkeypatch):
    folder = script("import os; print(os.environ.get('OF_MINE'))")
    first = container_backend.run(folder).run_id
    _change_record(first, docker_args={"env": ["OF_MINE"]})
    monkeypatch.setenv("OF_MINE", PASSWORD[::-1])
    refused = run_command("container-backend", "rerun", first)
    assert refused.returncode == 2
    assert "the values of OF_MINE of the environment" in refused.stderr
    trusted = run_command("container-backend", "rerun", first, "--trust")
    assert PASSWORD[::-1] in trusted.stdout


def _change_record(run_id: str, **fields: object) -> None:
    """Change the record of a run, as its program may."""
    file = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="record/run.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    MlflowClient().log_artifact(run_id, str(file), "record")
