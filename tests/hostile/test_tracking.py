"""A fetched project and the store: its own run, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import container_backend
from tests.hostile.ways import WAYS
from tests.support.projects import TRUSTED
from tests.support.tracking import answers, write_asking

if TYPE_CHECKING:
    from tests.support.tracking import Question

SECRET = "of mine alone"
MISSING, REFUSED, WRONG = 404, 403, 400


@dataclass(frozen=True)
class Others:
    """What is in the store beside the run of the project."""

    run_id: str
    experiment_id: str
    model_id: str


@pytest.fixture
def others(workplace) -> Others:
    client = MlflowClient()
    experiment = client.create_experiment("mine")
    run = client.create_run(experiment).info.run_id
    client.log_text(run, SECRET, "secret.txt")
    client.log_param(run, "secret", SECRET)
    client.create_registered_model("mine", description=SECRET)
    model = client.create_logged_model(experiment, "mine", run).model_id
    return Others(run, experiment, model)


def new_trace(trace: str, experiment: str = "0", **info: object) -> dict[str, object]:
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    said = {"trace_id": trace, "trace_location": place, "state": "OK",
            "request_time": "2020-01-01T00:00:00Z", **info}  # fmt: skip
    return {"trace": {"trace_info": said}}


def questions(others: Others) -> list[Question]:
    run, experiment = others.run_id, others.experiment_id
    artifacts = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts"
    own = "/api/2.0/mlflow-artifacts/artifacts/0/OWN/artifacts"
    return [
        ("GET", f"runs/get?run_id={run}", None),
        ("GET", f"runs/get?run_id=OWN&run_id={run}", None),
        ("GET", f"runs/get?runId={run}", None),
        ("POST", "runs/update", {"run_id": run, "status": "FAILED"}),
        ("POST", "runs/update", {"run_uuid": run, "status": "FAILED"}),
        ("POST", "runs/update", {"runId": run, "status": "FAILED"}),
        ("POST", "runs/log-batch", {"runId": run, "run_id": "OWN", "metrics": []}),
        ("POST", "runs/log-metric", {"run_id": run, "key": "m", "value": 1, "timestamp": 1}),
        ("POST", "runs/set-tag", {"run_id": run, "key": "k", "value": "v"}),
        ("POST", "runs/delete", {"run_id": run}),
        ("GET", f"artifacts/list?run_id={run}", None),
        ("GET", f"metrics/get-history?run_id={run}&metric_key=m", None),
        ("GET", f"{artifacts}/secret.txt", None),
        ("PUT", f"{artifacts}/planted.txt", {}),
        ("DELETE", artifacts, None),
        ("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={experiment}/{run}/artifacts", None),
        ("GET", f"{own}/../../{run}/artifacts/secret.txt", None),
        ("GET", f"{own}/..%2f..%2f{run}/artifacts/secret.txt", None),
        ("GET", f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/OWN/artifacts/../x", None),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts//etc/passwd", None),
        ("GET", f"experiments/get?experiment_id={experiment}", None),
        ("GET", "experiments/get-by-name?experiment_name=mine", None),
        ("POST", "experiments/search", {"max_results": 10}),
        ("POST", "experiments/create", {"name": "planted", "artifact_location": "/tmp"}),
        ("POST", "experiments/delete", {"experiment_id": experiment}),
        ("POST", "runs/create", {"experiment_id": experiment}),
        ("POST", "runs/create", {"experiment_id": "0", "tags": [
            {"key": "mlflow.parentRunId", "value": run}]}),
        ("GET", "registered-models/get?name=mine", None),
        ("PATCH", "registered-models/update", {"name": "mine", "description": "planted"}),
        ("DELETE", "registered-models/delete", {"name": "mine"}),
        ("GET", "registered-models/search", None),
        ("POST", "model-versions/create", {"name": "mine", "source": f"runs:/{run}/m"}),
        ("POST", "logged-models", {"experiment_id": "0", "name": "m", "source_run_id": run}),
        # By what another reader of the same request would see.
        ("PATCH", "logged-models/m-own", {"model_id": others.model_id, "status": 3}),
        ("POST", "/api/3.0/mlflow/traces", new_trace("tr-x", experiment)),
        ("POST", "/api/3.0/mlflow/traces", new_trace("tr-%61", "0")),
        ("POST", "/api/3.0/mlflow/traces", new_trace("tr-x", trace_metadata={"mlflow.sourceRun": run})),
        ("POST", "/api/3.0/mlflow/traces", {"trace": {"traceInfo": {"traceId": "tr-x"}}}),
        ("POST", "/v1/traces", {"resourceSpans": []}),
        # The place of artifacts, which a tag of a trace would say.
        ("POST", "/api/3.0/mlflow/traces", new_trace("tr-y", tags={"mlflow.artifactLocation": "/etc"})),
        ("PATCH", "/api/3.0/mlflow/traces/tr-own/tags", {"key": "mlflow.artifactLocation", "value": "/etc"}),
        ("PATCH", "traces/tr-own", {"tags": [{"key": "mlflow.artifactLocation", "value": "/etc"}]}),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/traces/tr-own/artifacts/passwd", None),
        # What is written to another's model, or found out by searching.
        ("POST", "runs/log-metric", {"run_id": "OWN", "key": "m", "value": 1, "timestamp": 1,
                                     "model_id": others.model_id}),
        ("POST", "runs/log-batch", {"run_id": "OWN", "metrics": [
            {"key": "m", "value": 1, "timestamp": 1, "step": 0, "model_id": others.model_id}]}),
        ("POST", "runs/outputs", {"run_id": "OWN", "models": [{"model_id": others.model_id, "step": 0}]}),
        ("POST", "runs/set-tag", {"run_id": "OWN", "key": "mlflow.parentRunId", "value": run}),
        ("POST", "runs/set-tag", {"run_id": "OWN", "key": "container_backend.container_id", "value": "x"}),
        ("POST", "registered-models/rename", {"name": "mine", "new_name": "x"}),
        ("POST", "/graphql", {"query": '{ mlflowGetRun(input: {runId: "x"}) { run { info { runId }}}}'}),
        ("POST", "webhooks", {"name": "x", "url": "http://127.0.0.1:1", "events": []}),
        ("GET", "/get-artifact?run_id=OWN&path=x", None),
        ("POST", "/container-backend/end", {"submission": "x"}),
        ("GET", "/api/2.0/mlflow/unknown", None),
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["zip", pytest.param("git", marks=pytest.mark.slow)])
def test_a_fetched_project_reaches_nothing_of_other_runs(way, others, tmp_path, capfd):
    before = MlflowClient().get_run(others.run_id).to_dictionary()
    asked = questions(others)
    write_asking(tmp_path / "project", asked)
    with WAYS[way](tmp_path / "project") as uri:
        run = container_backend.run(uri)
        said = answers(capfd.readouterr().out)
        assert len(said) == len(asked)
        reached = [
            (question[:2], answer)
            for question, answer in zip(asked, said, strict=True)
            if answer[0] < WRONG or SECRET in str(answer)
        ]
        assert reached == []
        assert MlflowClient().get_run(others.run_id).to_dictionary() == before
        assert MlflowClient().get_registered_model("mine").description == SECRET
        assert mlflow.artifacts.list_artifacts(run_id=others.run_id)[0].path == "secret.txt"
        assert [each.name for each in MlflowClient().search_experiments()] == ["mine", "Default"]
        # The control: of a project that is trusted, most of them are answered.
        container_backend.run(uri, backend_config=TRUSTED)
        said = answers(capfd.readouterr().out)
        assert any(SECRET in str(answer) for answer in said)
        assert MlflowClient().get_run(others.run_id).info.status == "FAILED"
    assert mlflow.get_run(run.run_id).info.status == "FINISHED"


def test_a_search_of_a_fetched_project_tells_nothing_of_other_runs(tmp_path, capfd):
    client = MlflowClient()
    for number in range(3):
        hidden = client.create_run("0", run_name=f"hidden {number}").info.run_id
        client.log_param(hidden, "secret", "abc")
    search = {"experiment_ids": ["0"], "max_results": 1}
    asked = [
        ("POST", "runs/search", {**search, "filter": "params.secret LIKE 'a%'"}),
        ("POST", "runs/search", {**search, "filter": "params.secret LIKE 'b%'"}),
        ("POST", "runs/search", {**search, "order_by": ["attributes.start_time ASC"]}),
    ]
    write_asking(tmp_path / "project", asked)
    with WAYS["zip"](tmp_path / "project") as uri:
        run = container_backend.run(uri)
    said = [answer for _, answer in answers(capfd.readouterr().out)]
    assert said[0] == said[1]
    assert "next_page_token" not in str(said)
    assert [each["info"]["run_id"] for each in said[2]["runs"]] == [run.run_id]


def test_a_fetched_project_has_its_own_run(tmp_path, capfd, workplace):
    asked = [
        ("GET", "runs/get?run_id=OWN", None),
        ("POST", "runs/log-metric", {"run_id": "OWN", "key": "m", "value": 1, "timestamp": 1}),
        ("POST", "runs/create", {"experiment_id": "0", "run_name": "child"}),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/OWN/artifacts/a/b.txt", {"a": 1}),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/OWN/artifacts/a/b.txt", None),
        ("GET", "artifacts/list?run_id=OWN&path=a", None),
        ("POST", "runs/search", {"experiment_ids": ["0"]}),
        ("POST", "registered-models/create", {"name": "new"}),
        ("POST", "model-versions/create", {"name": "new", "run_id": "OWN",
            "source": "mlflow-artifacts:/0/OWN/artifacts/a"}),
        ("GET", "model-versions/get-download-uri?name=new&version=1", None),
    ]  # fmt: skip
    other = MlflowClient().create_run("0").info.run_id
    write_asking(tmp_path / "project", asked)
    with WAYS["zip"](tmp_path / "project") as uri:
        run = container_backend.run(uri)
    said = answers(capfd.readouterr().out)
    assert [status for status, _ in said] == [200] * len(asked)
    assert said[4][1] == {"a": 1}
    assert [each["path"] for each in said[5][1]["files"]] == ["a/b.txt"]
    seen = {each["info"]["run_id"] for each in said[6][1]["runs"]}
    assert run.run_id in seen
    assert other not in seen
    (child,) = seen - {run.run_id}
    assert mlflow.get_run(child).data.tags["mlflow.parentRunId"] == run.run_id
    # Files and addresses are where they always were.
    stored = MlflowClient().get_model_version("new", "1").source
    assert stored == f"{workplace}/mlruns/0/{run.run_id}/artifacts/a"
    assert (workplace / "mlruns/0" / run.run_id / "artifacts/a/b.txt").read_text() == '{"a": 1}'
    assert str(workplace) not in str(said)


def test_what_a_parameter_hands_to_a_project_can_be_read_and_not_changed(others, tmp_path, capfd):
    run, experiment = others.run_id, others.experiment_id
    asked = [
        ("GET", f"runs/get?run_id={run}", None),
        ("GET", f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/secret.txt", None),
        ("POST", "runs/set-tag", {"run_id": run, "key": "k", "value": "v"}),
        ("DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts", None),
    ]  # fmt: skip
    write_asking(tmp_path / "project", asked, "{a: string}")
    with WAYS["zip"](tmp_path / "project") as uri:
        container_backend.run(uri, parameters={"a": f"runs:/{run}/secret.txt"})
    assert [status for status, _ in answers(capfd.readouterr().out)] == [200, 200, 404, 404]
