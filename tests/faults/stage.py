"""Where a fault happens: an engine, a store, a project, a user's state; and what must be so after it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.tracking import MlflowClient

from container_backend import labels_and_tags
from container_backend.container.status_and_reason import FINISHED, TERMINAL
from container_backend.engine import Engine, EngineHost, connect
from container_backend.errors import EngineUnavailable
from container_backend.machine.owner import owner_id, owner_key
from tests.support.client import client_of
from tests.support.on_engine import BASE, remove_images
from tests.support.processes import SUPERVISOR, processes_of
from tests.support.store import copy_empty_store
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import mlflow

    from tests.support.engines import OwnEngine
    from tests.support.servers import TrackingServer

INJECTION = Path(__file__).with_name("injection")
EXPERIMENT = "faults"
PARENT = "mlflow.parentRunId"
# What has not come by then will not come, however much else goes on.
PATIENCE_SECONDS = 150


def begun(lines: int) -> str:
    """What the program writes before it waits."""
    return "".join(f"line {number:095}\n" for number in range(lines)) + "started\n"


BEGUN = begun(1000)
# At its end without newline.
THE_END = "the end"
WHOLE = BEGUN + THE_END
_MAIN = """
import sys, time
sys.stdout.write("".join(f"line {number:095}\\n" for number in range(int(sys.argv[3]))) + "started\\n")
sys.stdout.flush()
time.sleep(float(sys.argv[1]))
sys.stdout.write("the end")
sys.stdout.flush()
sys.exit(int(sys.argv[2]))
"""
_MLPROJECT = """
name: faults
entry_points:
  main:
    parameters:
      seconds: {type: float, default: 2}
      code: {type: float, default: 0}
      lines: {type: float, default: 1000}
    command: exec python main.py {seconds} {code} {lines}
"""


@dataclass(frozen=True)
class Expected:
    """What a run must say in the end.

    Attributes:
        status: MLflow's.
        cause: In one word; empty where it finished.
        output: All that the program has written; None where there was no program, and no log.
        note: Words of the description.
        since: From when on the time is taken; by default it is the end of the run.
    """

    status: str = FINISHED
    cause: str = ""
    output: str | None = WHOLE
    note: str = ""
    since: float | None = None


NO_RUN = Expected(status="", output=None)


@dataclass
class Stage:
    """One user's view of an engine, of which others see nothing."""

    folder: Path
    host: str
    own: OwnEngine | None = None
    server: TrackingServer | None = None
    environ: dict[str, str] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        for name in ("store", "state", "tmp", "project"):
            (self.folder / name).mkdir()
        self.file = self.folder / "store" / "mlflow.db"
        copy_empty_store(self.file, f"{self.folder}/mlruns/0")
        self._looking = threading.Lock()
        self._processes_begun: list[subprocess.Popen[str]] = []
        self._open, self._settled = 0, time.time()
        threading.Thread(target=self.watch, daemon=True).start()
        (self.folder / "project" / "MLproject").write_text(_MLPROJECT)
        (self.folder / "project" / "main.py").write_text(_MAIN)
        self.tracking_uri = f"sqlite:///{self.file}"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
            "DOCKER_HOST": self.host,
            "XDG_STATE_HOME": str(self.folder / "state"),
            "TMPDIR": str(self.folder / "tmp"),
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_EXPERIMENT_NAME": EXPERIMENT,
            "CONTAINER_BACKEND_BASE_IMAGE": BASE,
            "CONTAINER_BACKEND_DEBUG": "1",
        }

    def use_store(self, tracking_uri: str) -> None:
        """From now on, have runs in another store."""
        self.tracking_uri = self.environ["MLFLOW_TRACKING_URI"] = tracking_uri

    @property
    def store(self) -> MlflowClient:
        """The tracking store."""
        return MlflowClient(self.tracking_uri)

    @contextlib.contextmanager
    def engine(self) -> Iterator[Engine]:
        """A connection to the engine."""
        connected = connect(EngineHost(self.host))
        try:
            yield connected
        finally:
            connected.close()

    # What a user does.

    def begin(self, *arguments: str, config: str = "{}") -> subprocess.Popen[str]:
        """Start the project; the command is returned while it runs."""
        return self.command("run", str(self.folder / "project"), "-c", config, *arguments)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """A command of ours."""
        return self._run("container-backend", *arguments)

    def python(self, *arguments: str) -> subprocess.Popen[str]:
        """A program of a user."""
        return self._run("python", *arguments)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        with (self.folder / "said").open("a") as said:
            process = subprocess.Popen(
                [Path(sys.executable).with_name(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env=self.environ,
                cwd=self.folder,
                start_new_session=True,
            )
        self._processes_begun.append(process)
        return process

    def detached(self, *arguments: str, config: str = "{}") -> str:
        """Start a run that goes on by itself; gives its id."""
        process = self.begin("--detach", *arguments, config=config)
        run_id = process.communicate(timeout=120)[0].strip()
        assert process.returncode == 0, self.said()
        return run_id

    def kill_in(self, command: str, at: str) -> Path:
        """From now on, the first process of a command that gets to a place dies there.

        Returns:
            A file that is there when it has.
        """
        mark = self.folder / "killed"
        mark.unlink(missing_ok=True)  # of one before
        self.environ = {
            **self.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(INJECTION), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "FAULT_AT": at,
            "FAULT_IN": command,
            "FAULT_MARK": str(mark),
        }
        return mark

    # What a trial looks at.

    def said(self) -> str:
        """What commands have said."""
        return (self.folder / "said").read_text()

    def runs(self) -> list[mlflow.entities.Run]:
        """The runs of the experiment that commands have made."""
        return [run for run in self.all_runs() if PARENT not in run.data.tags]

    def all_runs(self) -> list[mlflow.entities.Run]:
        """Those that programs have made as children, too."""
        found = self.store.get_experiment_by_name(EXPERIMENT)
        return [] if found is None else self.store.search_runs([found.experiment_id])

    def description(self) -> str:
        """What the page shows of the one run."""
        return str(self.runs()[0].data.tags.get("mlflow.note.content", ""))

    def container(self) -> str:
        """The id of the one container of ours, when its program has begun."""
        return str(wait_until(self._begun_container))

    def _begun_container(self) -> str | None:
        with self.engine() as engine:
            found = self.containers(engine)
            if not found or b"started\n" not in client_of(engine).api.logs(found[0], tail=1):
                return None
            return found[0]

    def containers(self, engine: Engine) -> list[str]:
        """The ids of the containers of this stage."""
        label = f"{labels_and_tags.LABEL_OWNER}={self.owner}"
        found = client_of(engine).api.containers(all=True, filters={"label": label})
        return [str(each["Id"]) for each in found]

    @functools.cached_property
    def owner(self) -> str:
        """Who the containers belong to; known from when it was first asked for."""
        environ = {"XDG_STATE_HOME": str(self.folder / "state")}
        assert owner_key(environ)
        return owner_id(environ)

    def supervisors(self) -> list[int]:
        """The numbers of the supervisor's processes: the shell that restarts it, and itself."""
        return [
            pid
            for pid, words in processes_of(self.folder / "state")
            if SUPERVISOR in words or "supervise" in words[2:3]
        ]

    def entries(self) -> list[Path]:
        """What the ledgers still hold."""
        return list((self.folder / "state").glob("container-backend/engines/*/runs/*/run.json"))

    # What must be so.

    def check(self, expected: Expected, count: int = 1) -> float:
        """All runs come to the expected end, and leave nothing.

        Returns:
            Seconds until the last one had its status.
        """
        if expected.status:
            wait_until(lambda: self._are_final(count), PATIENCE_SECONDS)
            self._look()
        self.wait_until_quiet()
        found = self.runs()
        assert len(found) == (count if expected.status else 0)
        for run in found:
            self._check_run(run, expected)
        if not found:
            return 0.0
        last = max((run.info.end_time or 0) / 1000 for run in found)
        return max(0.0, self._settled - (expected.since or last))

    def wait_for_status(self) -> None:
        """Until the one run has its status."""
        wait_until(lambda: self._are_final(1), PATIENCE_SECONDS)

    def wait_until_quiet(self) -> None:
        """Until there is no container of ours, and nothing is noted as to be done."""
        wait_until(self._is_quiet, 60)

    def watch(self) -> None:
        """Note when the last status was written; in a thread, until it is the trial's end."""
        while not self.ended.wait(0.1):
            self._look()

    def _look(self) -> None:
        with self._looking, contextlib.suppress(sqlite3.OperationalError):  # locked by a writer
            found = len(_open_runs(self.file))
            if found != self._open:
                self._open, self._settled = found, time.time()

    def _are_final(self, count: int) -> bool:
        try:
            if _open_runs(self.file):
                return False  # to ask MLflow takes a while, and there are many trials at once
        except sqlite3.OperationalError:  # locked by a writer
            return False
        found = self.runs()
        return len(found) >= count and all(run.info.status in TERMINAL for run in found)

    def _is_quiet(self) -> bool:
        with self.engine() as engine:
            return not self.containers(engine) and not self.entries()

    def _check_run(self, run: mlflow.entities.Run, expected: Expected) -> None:
        tags = run.data.tags
        found = (run.info.status, tags.get(labels_and_tags.TAG_CAUSE, ""))
        assert found == (expected.status, expected.cause), (tags, self.log())
        assert bool(tags.get(labels_and_tags.TAG_REASON)) == (expected.status != FINISHED)
        assert expected.note in tags.get("mlflow.note.content", ""), tags
        found = self._output(run)
        assert found == expected.output, (len(found or ""), (found or "")[-200:], self.log())

    def _output(self, run: mlflow.entities.Run) -> str | None:
        if "logs" not in [each.path for each in self.store.list_artifacts(run.info.run_id)]:
            return None
        with tempfile.TemporaryDirectory() as folder:
            file = self.store.download_artifacts(run.info.run_id, "logs/container.log", folder)
            return Path(file).read_text()

    def log(self) -> str:
        """What commands and supervisors have said, for a test that fails."""
        logs = (self.folder / "state").glob("container-backend/engines/*/supervisor.log")
        return "\n".join([self.said(), *(log.read_text() for log in logs)])

    def end(self) -> None:
        """End what still runs."""
        self.ended.set()
        for pid, _ in processes_of(self.folder / "state"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes_begun:
            process.stdout.close()
        with contextlib.suppress(EngineUnavailable), self.engine() as engine:
            for container in self.containers(engine):
                client_of(engine).api.remove_container(container, force=True)
            shared = {"label": f"{labels_and_tags.LABEL_SHARED_CODE}={self.owner}"}
            remove_images(engine, *client_of(engine).api.images(filters=shared, quiet=True))


def _open_runs(store: Path) -> list[str]:
    """Those of commands that have not ended, read beside MLflow, whose server may be away."""
    statement = (
        "SELECT run_uuid FROM runs JOIN experiments USING (experiment_id) "
        "WHERE experiments.name = ? AND runs.status IN ('RUNNING', 'SCHEDULED') "
        "AND run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = ?)"
    )
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        return [str(row[0]) for row in connection.execute(statement, [EXPERIMENT, PARENT])]


class Bystanders:
    """What is not ours on an engine, and in a store, and must be there afterwards as before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runs: dict[str, str] = {}

    def __enter__(self) -> None:
        """Make them: a container of no run, a container of another user's run, a run without a container."""
        store = self._stage.store
        experiment = store.create_experiment("others")
        self._run = store.create_run(experiment).info.run_id
        labels = {
            labels_and_tags.LABEL_RUN_ID: self._run,
            labels_and_tags.LABEL_OWNER: "another owner",
            labels_and_tags.LABEL_TRACKING_URI: self._stage.tracking_uri,
        }
        with self._stage.engine() as engine:
            self._containers = [
                client_of(engine).containers.run(
                    BASE, ["sleep", "3600"], detach=True, labels=each,
                    restart_policy={"Name": "always"}, stop_signal="SIGKILL",
                )
                for each in ({}, labels)
            ]  # fmt: skip
            self._before = self._look(engine)

    def __exit__(self, kind: object, *_: object) -> None:
        with self._stage.engine() as engine:
            try:
                if kind is None:
                    wait_until(lambda: self._look(engine) == self._before)
            finally:
                for each in self._containers:
                    client_of(engine).api.remove_container(each.id, force=True)

    def _look(self, engine: Engine) -> list[object]:
        described = [client_of(engine).api.inspect_container(each.id) for each in self._containers]
        return [
            *[(each["Name"], each["State"]["Status"]) for each in described],
            *([] if self._stage.own else [each["State"]["StartedAt"] for each in described]),
            self._stage.store.get_run(self._run).info.status,
        ]
