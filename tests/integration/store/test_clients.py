"""The tracking store in this package's types, by MLflow's client and through the proxy."""

from __future__ import annotations

import io
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from container_backend import labels_and_tags
from container_backend.errors import InvalidConfig, TrackingUnreachable
from container_backend.runs import open_store
from container_backend.runs.tracking.start import Proxy, proxy_of
from container_backend.store import (
    Experiment,
    MlflowStore,
    ServedStore,
    Store,
)
from container_backend.store.client import Metric
from container_backend.store.experiment import find_experiment
from tests.support.processes import proxies
from tests.support.store import new_store
from tests.support.waiting import wait_until


def started(uri: str) -> Proxy:
    proxy = proxy_of(uri)
    proxy.start()
    proxy.wait()
    return proxy


@pytest.fixture(params=["by MLflow", "by the proxy"])
def store(request) -> Store:
    uri = mlflow.get_tracking_uri()
    return MlflowStore(uri) if request.param == "by MLflow" else ServedStore(uri, started(uri))


def test_a_run_is_what_mlflow_has(store):
    client = MlflowClient(store.tracking_uri)
    made = store.create_run("0", {"a": "b"}, "name of mine")
    names = [f"p{number}" for number in range(101)]  # more than fit into one request
    store.log_parameters(made.run_id, dict.fromkeys(names, "1"))
    client.log_metric(made.run_id, "m", 0.5)
    store.set_tags(made.run_id, {"long": "x" * 9000})
    going = store.find_run(made.run_id)
    assert (going.status, going.ended_at, going.name) == ("RUNNING", None, "name of mine")
    store.end_run(made.run_id, "FAILED", 4_102_444_800.5)
    ended, theirs = store.find_run(made.run_id), client.get_run(made.run_id)
    assert (ended.status, ended.ended_at) == ("FAILED", 4_102_444_800.5)
    assert ended.started_at == theirs.info.start_time / 1000
    assert ended.artifact_uri == theirs.info.artifact_uri
    assert (ended.experiment_id, ended.metrics) == ("0", {"m": 0.5})
    assert ended.parameters == dict.fromkeys(names, "1")
    assert (ended.tags["a"], len(ended.tags["long"])) == ("b", 5000)


def test_what_is_missing_is_none_and_what_is_deleted_says_so(store):
    assert store.find_run("0" * 32) is None
    assert store.find_experiment("77") is None
    assert store.find_experiment_named("nope") is None
    made = store.create_run("0", {})
    MlflowClient(store.tracking_uri).delete_run(made.run_id)
    assert store.find_run(made.run_id).is_deleted


def test_a_run_does_not_go_to_a_deleted_experiment(store):
    gone = store.create_experiment("gone").experiment_id
    MlflowClient(store.tracking_uri).delete_experiment(gone)
    for wanted in (Experiment(name="gone"), Experiment(id=gone)):
        with pytest.raises(InvalidConfig, match="The experiment 'gone' is deleted") as caught:
            find_experiment(store, wanted, create=True)
        assert f"mlflow experiments restore -x {gone}" in str(caught.value)


def test_runs_are_found_in_every_experiment(store):
    other = store.create_experiment("other")
    assert store.find_experiment_named("other") == other
    runs = [store.create_run(where, {"t": where}) for where in ("0", other.experiment_id)]
    for run in runs:
        found = store.runs_beginning_with(run.run_id[:20], 6)
        assert [each.run_id for each in found] == [run.run_id]
    assert {each.run_id for each in store.runs_beginning_with("", 6)} == {
        run.run_id for run in runs
    }
    assert [each.run_id for each in store.runs_with_tag("0", "t", "0")] == [runs[0].run_id]
    assert store.runs_with_tag("0", "t", other.experiment_id) == []


def test_artifacts_go_there_and_back(store, tmp_path):
    experiment = MlflowClient(store.tracking_uri).create_experiment("e", f"{tmp_path}/a b")
    run = store.create_run(experiment, {})
    content = io.BytesIO(b"content")
    content.read()  # the whole is logged, wherever the file was left
    store.log_files(run, {"sub/file": content})
    assert store.artifact_paths(run, "sub") == {"sub/file"}
    assert store.artifact_paths(run, "missing") == set()
    (tmp_path / "down").mkdir()
    found = store.download(run, "sub/file", str(tmp_path / "down"))
    assert found.is_relative_to(tmp_path / "down")
    assert found.read_text() == "content"


def test_metrics_are_what_they_were(store):
    run = store.create_run("0", {})
    largest = sys.float_info.max  # what a database has for infinity
    values = {0.1: 0.1, math.nan: math.nan, math.inf: largest, -math.inf: -largest, 1e300: 1e300}
    store.log_metrics(run.run_id, [Metric(f"m{at}", each, at, 7) for at, each in enumerate(values)])
    client = MlflowClient()
    for at, value in enumerate(values.values()):
        (logged,) = client.get_metric_history(run.run_id, f"m{at}")
        assert (logged.timestamp, logged.step) == (at, 7)
        found = store.find_run(run.run_id).metrics[f"m{at}"]
        assert repr(logged.value) == repr(found) == repr(value)


def test_an_experiment_that_another_process_makes_is_taken(store):
    made = []

    def make() -> None:
        made.append(store.create_experiment("at once"))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert len({each.experiment_id for each in made}) == 1


def test_what_the_store_refuses_is_said(store):
    with pytest.raises(TrackingUnreachable, match=r"No Experiment with id=77|id 77"):
        store.create_run("77", {})
    with pytest.raises(TrackingUnreachable, match=r"cannot be used: .*(INVALID|Invalid)"):
        store.runs_with_tag("0", "a`b", "c")


def test_a_command_asks_a_proxy_that_is_there(own_state, own_store):
    uri = mlflow.get_tracking_uri()
    assert isinstance(open_store(uri), MlflowStore)
    started(uri)
    assert isinstance(open_store(uri), ServedStore)


PROGRAM = """
import sys
from container_backend.cli.app import main
try:
    main({arguments})
finally:
    print("mlflow" in sys.modules)
"""


def test_a_command_whose_proxy_answers_imports_no_mlflow(script, own_state, own_store):
    started(mlflow.get_tracking_uri())
    for arguments in (["run", script("print(1)")], ["ps", "-a"], ["status", "{run}"]):
        found = MlflowClient().search_runs(["0"])
        words = [word.format(run=found[0].info.run_id if found else "") for word in arguments]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(arguments=words)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "False", words


def test_only_this_user_reaches_a_proxy_as_its_user(own_state, own_store):
    folder = started(mlflow.get_tracking_uri()).folder.path
    assert [each.name for each in folder.iterdir() if each.is_socket()] == ["socket"]
    for path in (folder, folder.parent):
        assert path.stat().st_mode & 0o077 == 0
    assert mlflow.get_tracking_uri() == (folder / "store").read_text()
    address = f"http://127.0.0.1:{folder.joinpath('port').read_text()}"
    for path in ("/container-backend/ping", "/api/2.0/mlflow/experiments/get?experiment_id=0"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}{path}")


def test_a_proxy_that_is_killed_within_a_request_makes_one_run(own_state, own_store):
    """The database is held by another process, so that the proxy has the request when it is killed."""
    uri = mlflow.get_tracking_uri()
    proxy = started(uri)
    store = ServedStore(uri, proxy)
    submission = {labels_and_tags.TAG_SUBMISSION: "a" * 32}
    made = []
    with closing(sqlite3.connect(own_store)) as held:
        held.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=lambda: made.append(store.create_run("0", submission)))
        thread.start()
        wait_until(proxy.folder.waits_for)  # said after five seconds
        (process,) = proxies(own_state)
        os.kill(process, signal.SIGKILL)
        held.rollback()
    thread.join(60)
    assert len(made) == 1
    assert [run.run_id for run in made] == [
        run.info.run_id for run in MlflowClient().search_runs(["0"])
    ]


def test_a_run_that_was_made_before_the_answer_was_lost_is_found(own_state, own_store):
    class Losing(Proxy):
        """Loses the answer to the first request that makes a run."""

        lost = False

        def send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
            said = super().send(method, path, body)
            if path.endswith("runs/create") and not Losing.lost:
                Losing.lost = True
                raise ConnectionError
            return said

    proxy = started(mlflow.get_tracking_uri())
    store = ServedStore(mlflow.get_tracking_uri(), Losing(**vars(proxy)))
    made = store.create_run("0", {labels_and_tags.TAG_SUBMISSION: "a" * 32})
    assert [run.info.run_id for run in MlflowClient().search_runs(["0"])] == [made.run_id]


def test_a_store_that_was_replaced_is_served_anew(own_state, own_store):
    """Who removes the store and begins again must not get the removed one."""
    uri = mlflow.get_tracking_uri()
    first = ServedStore(uri, started(uri))
    first.create_experiment("of the removed store")
    own_store.unlink()
    new_store(own_store.parent)
    found = ServedStore(uri, started(uri))
    assert found.find_experiment_named("of the removed store") is None
    assert open_store(uri).find_experiment("0") is not None


def test_why_a_proxy_does_not_start_is_said(own_state, own_store):
    with closing(sqlite3.connect(own_store)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'deadbeef'")
    proxy = proxy_of(mlflow.get_tracking_uri())
    proxy.start()
    with pytest.raises(TrackingUnreachable, match=r"mlflow\.db' cannot be used: .*deadbeef"):
        proxy.wait()
    Path(own_store).unlink()
    new_store(own_store.parent)
    started(mlflow.get_tracking_uri())


def test_a_folder_with_any_name_is_no_hindrance(own_state, own_store, tmp_path, monkeypatch):
    """New experiments have their artifacts in the current folder, which the proxy is told."""
    (tmp_path / "папка ü 用户").mkdir()
    monkeypatch.chdir(tmp_path / "папка ü 用户")
    uri = mlflow.get_tracking_uri()
    made = ServedStore(uri, started(uri)).create_experiment("here")
    assert made.artifact_uri == f"{Path.cwd()}/mlruns/{made.experiment_id}"


def test_a_store_that_was_moved_away_is_not_made_anew(own_state, own_store):
    proxy = started(mlflow.get_tracking_uri())
    away = own_store.with_name("away.db")
    own_store.rename(away)
    wait_until(lambda: not proxies(own_state))
    with pytest.raises(TrackingUnreachable, match="No such file"):
        started(mlflow.get_tracking_uri())
    assert not own_store.exists()
    away.rename(own_store)
    assert isinstance(open_store(mlflow.get_tracking_uri()), MlflowStore)
    assert proxy.start()
    proxy.wait()


def test_processes_that_make_an_experiment_in_a_folder_at_once_make_one(
    own_state, tmp_path, monkeypatch
):
    """MLflow itself looks for the name and makes a folder, one after the other."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    MlflowClient(uri).search_experiments()
    stores = [MlflowStore(uri), ServedStore(uri, started(uri))] * 4
    with ThreadPoolExecutor(len(stores)) as pool:
        found = pool.map(
            lambda each: find_experiment(each, Experiment(name="new"), create=True), stores
        )
        assert len({each.experiment_id for each in found}) == 1


def test_who_sits_at_the_port_of_the_proxy_gets_no_token(own_state, own_store):
    proxy = started(mlflow.get_tracking_uri())
    port, (process,) = proxy.folder.port(), proxies(own_state)
    os.kill(process, signal.SIGTERM)
    wait_until(lambda: not proxies(own_state))
    with socket.create_server(("127.0.0.2", port)):
        wait_until(lambda: proxy.start("127.0.0.2"))  # the shell has ended as well
        assert proxy.folder.port() != port
        proxy.wait()
        socket.create_connection(("127.0.0.2", proxy.folder.port())).close()


def test_addresses_that_were_added_later_are_those_of_a_proxy_that_was_killed(own_state, own_store):
    proxy = started(mlflow.get_tracking_uri())
    port = proxy.listen("127.0.0.3")
    (process,) = proxies(own_state)
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: proxies(own_state) not in ([], [process]))
    proxy.wait()
    socket.create_connection(("127.0.0.3", port)).close()
