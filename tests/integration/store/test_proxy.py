"""The tracking proxy, with programs in containers, and what fails meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import container_backend
from tests.support.client import client_of
from tests.support.processes import proxies
from tests.support.projects import EXAMPLE
from tests.support.runs import only_run, runs
from tests.support.servers import TrackingServer
from tests.support.store import copy_empty_store
from tests.support.tracking import answers, write_asking
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Logs until it is told to end, one step after the other.
LOGS = """
    import json, os, time, urllib.request

    def post(path, body):
        request = urllib.request.Request(
            os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path,
            data=json.dumps(body).encode(),
            headers={"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"],
                     "Content-Type": "application/json"},
        )
        for pause in range(40):
            try:
                return json.load(urllib.request.urlopen(request, timeout=120))
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise
                time.sleep(0.5)
            except OSError:
                time.sleep(0.5)

    for step in range(2000):
        post("runs/log-metric", {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "m", "value": step,
                                 "timestamp": 1, "step": step})
        print(step, flush=True)
        if os.path.exists("/tmp/end"):
            break
        time.sleep(0.02)
"""


def steps(run_id: str) -> list[int]:
    return [each.step for each in MlflowClient().get_metric_history(run_id, "m")]


def end(engine, run) -> None:
    """Tell the program to end."""
    with closing(engine.containers.execute(run.container_id, ["touch", "/tmp/end"])) as stream:
        while stream.read():
            pass


def test_a_proxy_that_is_killed_is_back_with_the_same_tokens(script, engine, own_state):
    run = container_backend.run(script(LOGS), backend_config={"detach": True})
    for _ in range(3):
        logged = len(steps(run.run_id))
        wait_until(lambda logged=logged: len(steps(run.run_id)) > logged + 5)
        (process,) = proxies(own_state)
        os.kill(process, signal.SIGKILL)
    logged = len(steps(run.run_id))
    wait_until(lambda: len(steps(run.run_id)) > logged + 5)
    end(engine, run)
    assert run.wait()
    found = steps(run.run_id)
    assert found == list(range(len(found)))


def test_a_token_is_refused_when_its_run_has_ended(tmp_path, script, capfd, own_state):
    folder = write_asking(tmp_path / "asks", [("GET", "runs/get?run_id=OWN", None)])
    container_backend.run(folder)
    assert [status for status, _ in answers(capfd.readouterr().out)] == [200]
    (grants,) = own_state.rglob("grants")
    assert list(grants.glob("*.json")) == []


@pytest.mark.slow
def test_a_database_that_is_locked_is_waited_for(script, engine, own_store):
    run = container_backend.run(script(LOGS), backend_config={"detach": True})
    wait_until(lambda: len(steps(run.run_id)) > 3)
    with closing(sqlite3.connect(own_store, timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(12)  # longer than the database itself waits
        other.execute("COMMIT")
    logged = len(steps(run.run_id))
    wait_until(lambda: len(steps(run.run_id)) > logged + 3)
    end(engine, run)
    assert run.wait()
    found = steps(run.run_id)
    assert found == list(range(len(found)))


@pytest.mark.slow
def test_who_waits_is_told_that_the_store_is_waited_for(script, own_store, capfd):
    heard = []

    def is_said(text: str) -> bool:
        heard.append(capfd.readouterr().err)
        return text in "".join(heard)

    folder = script(LOGS.replace("range(2000)", "range(400)"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(container_backend.run, folder)
        wait_until(lambda: runs() and len(steps(only_run().info.run_id)) > 3)
        with closing(sqlite3.connect(own_store, timeout=60, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            wait_until(lambda: is_said("waits for its tracking store: "))
            other.execute("COMMIT")
        run = running.result()
    assert is_said("The tracking store answers again")
    assert steps(run.run_id) == list(range(400))


@pytest.mark.parametrize("network", [pytest.param("host", marks=pytest.mark.slow), "none"])
def test_each_network_leads_to_the_store(network, tmp_path, capfd, example_image):
    asked = [
        ("GET", "runs/get?run_id=OWN", None),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/OWN/artifacts/a.txt", {"a": 1}),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/OWN/artifacts/a.txt", None),
    ]
    folder = write_asking(tmp_path / "asks", asked)
    run = container_backend.run(folder, docker_args={"network": network})
    said = answers(capfd.readouterr().out)
    assert [status for status, _ in said] == [200] * 3
    assert said[2][1] == {"a": 1}
    assert mlflow.artifacts.load_dict(f"{mlflow.get_run(run.run_id).info.artifact_uri}/a.txt") == {
        "a": 1
    }


@contextmanager
def bridge(engine, *rule: str) -> Iterator[str]:
    """A network of its own; with a rule for what comes from there to this machine."""
    name = f"container-backend-test-{uuid.uuid4().hex[:8]}"
    made = client_of(engine).networks.create(name, driver="bridge")
    words = ["INPUT", "--in-interface", f"br-{made.id[:12]}", "--protocol", "tcp", *rule]
    try:
        if rule:
            subprocess.run(["iptables", "--wait", "--insert", *words], check=True)
        yield name
    finally:
        if rule:
            subprocess.run(["iptables", "--wait", "--delete", *words], check=True)
        made.remove()


@pytest.mark.parametrize("target", ["REJECT", pytest.param("DROP", marks=pytest.mark.slow)])
def test_a_firewall_is_found_out_before_the_program_starts(
    target, engine, tmp_path, capfd, caplog, example_image
):
    folder = write_asking(tmp_path / "asks", [("GET", "runs/get?run_id=OWN", None)])
    with bridge(engine, "--jump", target) as network:
        run = container_backend.run(folder, docker_args={"network": network})
    assert "a firewall?" in caplog.text
    (said,) = answers(capfd.readouterr().out)
    assert said[0] == 200
    assert said[1]["run"]["info"]["run_id"] == run.run_id


def test_what_is_known_of_a_way_is_not_tried_again(engine, script, caplog, own_state):
    folder = script("print(1)")
    with bridge(engine) as network:
        container_backend.run(folder, docker_args={"network": network})
        (file,) = (own_state / "container-backend" / "tracking" / "reached").iterdir()
        assert file.read_text() == "yes"
        file.write_text("no")  # as of a firewall that was found out some minutes ago
        container_backend.run(folder, docker_args={"network": network})
        assert file.read_text() == "no"
        os.utime(file, (0, time.time() - 3600))
        container_backend.run(folder, docker_args={"network": network})
        assert file.read_text() == "yes"
    assert "a firewall?" not in caplog.text


def test_a_program_does_not_choose_where_artifacts_lie(tmp_path, capfd):
    asked = [
        ("POST", "experiments/create", {"name": "a", "artifact_location": "/etc"}),
        ("POST", "experiments/create", {"name": "a", "artifactLocation": "file:///etc"}),
        ("POST", "experiments/create", {"name": "here"}),
        ("POST", "model-versions/create", {"name": "x", "source": "/etc"}),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/models/x/artifacts/../../../../etc/passwd", None),
    ]  # fmt: skip
    container_backend.run(write_asking(tmp_path / "asks", asked))
    said = answers(capfd.readouterr().out)
    assert [status for status, _ in said[:3]] == [403, 403, 200]
    assert all(status >= 400 for status, _ in said[3:])
    found = {each.name: each.artifact_location for each in MlflowClient().search_experiments()}
    assert found.keys() == {"Default", "here"}
    assert found["here"] == f"{Path.cwd()}/mlruns/{said[2][1]['experiment_id']}"


@contextmanager
def server_at(folder: Path) -> Iterator[TrackingServer]:
    folder.mkdir()
    copy_empty_store(folder / "server.db", "mlflow-artifacts:/0")
    with TrackingServer(folder, f"sqlite:///{folder}/server.db", "127.0.0.1") as server:
        yield server


def environment_in(output: str) -> str:
    """What the program has printed of its surroundings."""
    (line,) = [line for line in output.splitlines() if line.startswith("environment ")]
    return bytes.fromhex(line.split()[1]).decode()


def test_a_program_of_another_person_gets_no_login_of_a_server(tmp_path, monkeypatch, capfd):
    asked = [
        ("GET", "runs/get?run_id=OWN", None),
        ("POST", "runs/set-tag", {"run_id": "OWN", "key": "k", "value": "v"}),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/OWN/artifacts/d/a.txt", {"a": 1}),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/0/OWN/artifacts/d/a.txt", None),
        ("GET", "artifacts/list?run_id=OWN&path=d", None),
        ("POST", "experiments/search", {"max_results": 9}),
    ]
    folder = Path(write_asking(tmp_path / "asks", asked))
    # Not as it is written: that would be masked.
    says = """
import os
said = repr(dict(os.environ)) + open('/proc/net/route').read()
print('environment', said.encode().hex())
"""
    (folder / "main.py").write_text(says + (folder / "main.py").read_text())
    archive = shutil.make_archive(str(tmp_path / "x"), "zip", folder)
    with server_at(tmp_path / "server") as server:
        login = server.address.replace("://", "://me:pa55-word@")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", login)
        run = container_backend.run(archive)
        output = capfd.readouterr().out
        assert "pa55" not in environment_in(output)
        assert "eth0" in environment_in(output)  # not the network of this machine
        said = answers(output)
        assert [status for status, _ in said] == [200] * 5 + [403]
        assert said[3][1] == {"a": 1}
        assert [each["path"] for each in said[4][1]["files"]] == ["d/a.txt"]
        found = only_run()
        assert (found.info.run_id, found.data.tags["k"]) == (run.run_id, "v")
        assert found.info.status == "FINISHED"
        assert json.loads(mlflow.artifacts.load_text(f"{found.info.artifact_uri}/d/a.txt")) == {
            "a": 1
        }
        # The control: a project that is trusted reaches the server itself.
        with pytest.raises(container_backend.RunFailed):  # its requests need a token
            container_backend.run(archive, backend_config={"trust_project": True})
        assert "pa55" in environment_in(capfd.readouterr().out)
        assert len(runs()) == 2


# Requirements of a client: what its version of MLflow worked with when it was new.
CLIENTS = {
    "newest": (EXAMPLE / "requirements.txt").read_text(),
    "3.1": "mlflow==3.1.0\nscikit-learn<1.7\nsqlalchemy<2.1\nopentelemetry-sdk<1.34\n",
    "2.9": "mlflow==2.9.2\nscikit-learn<1.4\nnumpy<2\npandas<2.2\nsetuptools<81\n",
}


@pytest.mark.parametrize(
    "client", ["newest", *(pytest.param(each, marks=pytest.mark.slow) for each in ("3.1", "2.9"))]
)
def test_clients_of_all_versions_log_what_they_log(client, project, example_image):
    """Parameters, metrics, a model that is registered and loaded, a child, a trace where there are traces."""
    folder = project(
        "python_env: python_env.yaml\nentry_points: {main: {command: python main.py}}",
        main__py="""
            import mlflow
            import numpy as np
            from sklearn.linear_model import LinearRegression

            mlflow.sklearn.autolog()
            with mlflow.start_run() as run:
                mlflow.log_param("p", "x")
                model = LinearRegression().fit(np.array([[1.0], [2.0]]), np.array([1.0, 2.0]))
                mlflow.sklearn.log_model(model, "m", registered_model_name="registered")
                with mlflow.start_run(nested=True) as child:
                    mlflow.log_metric("c", 2)
                mlflow.log_dict({"a": 1}, "files/a.json")
                print(mlflow.artifacts.load_dict(mlflow.get_artifact_uri("files/a.json")))
                if hasattr(mlflow, "trace"):
                    mlflow.trace(lambda value: value + 1)(1)
            if hasattr(mlflow, "flush_trace_async_logging"):
                mlflow.flush_trace_async_logging()
            loaded = mlflow.sklearn.load_model("models:/registered/1")
            print("predicted", round(float(loaded.predict([[3.0]])[0]), 3))
            has_traces = hasattr(mlflow, "search_traces")
            print(f"traces {len(mlflow.search_traces()) if has_traces else 1}")
        """,
        requirements__txt=CLIENTS[client],
    )
    shutil.copy(EXAMPLE / "python_env.yaml", folder)
    run = container_backend.run(folder)
    found = mlflow.get_run(run.run_id)
    assert found.data.params["p"] == "x"
    assert found.data.params["fit_intercept"] == "True"
    (child,) = [each for each in runs() if each.info.run_id != run.run_id]
    assert child.data.tags["mlflow.parentRunId"] == run.run_id
    assert child.data.metrics == {"c": 2}
    output = mlflow.artifacts.load_text(f"{found.info.artifact_uri}/logs/container.log")
    assert "predicted 3.0" in output
    assert "{'a': 1}" in output
    assert "traces 1" in output
    # As any client of the store on disk.
    model = mlflow.MlflowClient().get_model_version("registered", "1")
    assert Path(mlflow.artifacts.download_artifacts("models:/registered/1"), "MLmodel").exists()
    assert model.run_id == run.run_id
    if client != "2.9":
        assert len(mlflow.search_traces(return_type="list")) == 1
