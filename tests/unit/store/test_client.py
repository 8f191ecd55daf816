"""The tracking store in this package's types and errors."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient

from container_backend.errors import TrackingUnreachable
from container_backend.store.client import Store, open_store
from tests.support.store import new_store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(new_store(tmp_path))


@pytest.mark.parametrize("scheme", ["sqlite:///", "file://"])
def test_a_store_that_is_not_on_this_machine_is_not_made(tmp_path, scheme):
    uri = f"{scheme}{tmp_path}/other/mlflow.db"
    with pytest.raises(TrackingUnreachable, match=r"other/mlflow\.db' is not on this machine"):
        open_store(uri)
    assert list(tmp_path.iterdir()) == []


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
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "file").write_text("content")
    store.log_artifacts(run, tmp_path / "folder")
    assert store.artifact_paths(run, "sub") == {"sub/file"}
    assert store.artifact_paths(run, "missing") == set()
    (tmp_path / "down").mkdir()
    found = store.download(run, "sub/file", str(tmp_path / "down"))
    assert found.is_relative_to(tmp_path / "down")
    assert found.read_text() == "content"


def test_a_refusal_is_an_error_of_ours_without_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = Store("http://me:pa55@127.0.0.1:1")
    with pytest.raises(TrackingUnreachable) as caught:
        store.find_run("0" * 32)
    assert "The tracking store 'http://127.0.0.1:1' cannot be used" in str(caught.value)
    assert "pa55" not in str(caught.value)
    with pytest.raises(TrackingUnreachable, match="'nonsense://x' cannot be used"):
        Store("nonsense://x")
