"""The program of a fault: writes to its store what a training writes, as MLflow's client sends that.

Standard library only, for a container without MLflow. A request is repeated as MLflow's client repeats it:
with the same body, after a broken connection and after an error of the server.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

SERVER = os.environ["MLFLOW_TRACKING_URI"]
RUN = os.environ["MLFLOW_RUN_ID"]
HEADERS = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
ATTEMPT = uuid.uuid4().hex
PAUSES = (0, 0.1, 0.5, 1, 2, 4, 8, 16)


def send(method: str, path: str, data: bytes, kind: str = "application/json") -> bytes:
    last = None
    for pause in PAUSES:
        time.sleep(pause)
        request = urllib.request.Request(
            SERVER + path, data=data, method=method, headers={**HEADERS, "Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            last = error
            if error.code < 500:
                break
        except OSError as error:
            last = error
    raise SystemExit(f"{method} {path}: {last} {getattr(last, 'read', bytes)()!r}")


def post(what: str, **body: object) -> dict:
    return json.loads(send("POST", f"/api/2.0/mlflow/{what}", json.dumps(body).encode()))


def now() -> int:
    return int(time.time() * 1000)


def main(count: int) -> None:
    sys.stdout.write("started\n")
    sys.stdout.flush()
    post("runs/set-tag", run_id=RUN, key="attempt", value=ATTEMPT)
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    for step in range(count):
        post("runs/log-metric", run_id=RUN, key=ATTEMPT, value=step, timestamp=now(), step=step)
        if step % 5 == 0:
            metrics = [
                {"key": f"{ATTEMPT}.{each}", "value": step, "timestamp": now(), "step": step}
                for each in range(20)
            ]
            params = [{"key": f"p{step}", "value": str(step)}]
            post("runs/log-batch", run_id=RUN, metrics=metrics, params=params)
        if step % 10 == 0:
            tags = [
                {"key": "mlflow.parentRunId", "value": RUN},
                {"key": "child", "value": f"{ATTEMPT} {step}"},
            ]
            made = post("runs/create", experiment_id=experiment, start_time=now(), tags=tags)
            child = made["run"]["info"]["run_id"]
            post("runs/log-metric", run_id=child, key="m", value=step, timestamp=now(), step=0)
            post("runs/update", run_id=child, status="FINISHED", end_time=now())
            where = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{RUN}/artifacts/{step}.bin"
            send("PUT", where, step.to_bytes(4, "big") * 50_000, "application/octet-stream")
        time.sleep(0.01)
    sys.stdout.write("the end")
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(float(sys.argv[1])))
