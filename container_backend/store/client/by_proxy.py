"""A store that is asked through the tracking proxy, which serves it, without an import of MLflow.

Requests and answers are those of https://mlflow.org/docs/latest/rest-api.html.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode

from container_backend.labels_and_tags import MLFLOW_USER, TAG_SUBMISSION
from container_backend.store.client.store import EXISTING, MISSING, Store, refused
from container_backend.store.client.stored import StoredExperiment, StoredRun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.store.client.stored import Metric

_API: Final = "/api/2.0/mlflow/"
_OK: Final = 200
# A proxy may be killed again and again.
_TIMES: Final = 5
_LOST: Final = "The answer of the tracking proxy was lost, again and again."
_MOST_EXPERIMENTS: Final = 1000


class UserProxy(Protocol):
    """A proxy that is asked as the user."""

    def send(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request, and return status and body of the answer.

        Raises:
            ConnectionError: The answer was lost: the proxy went away and is back, or was silent.
            TrackingUnreachable: The proxy does not answer.
        """


class ServedStore(Store):
    """A store on this machine's disk, which a proxy serves."""

    def __init__(self, tracking_uri: str, proxy: UserProxy) -> None:
        super().__init__(tracking_uri)
        self._proxy = proxy

    def find_experiment(self, experiment_id: str) -> StoredExperiment | None:
        said = self._find("experiments/get", experiment_id=experiment_id)
        return None if said is None else _stored_experiment(said["experiment"])

    def find_experiment_named(self, name: str) -> StoredExperiment | None:
        said = self._find("experiments/get-by-name", experiment_name=name)
        return None if said is None else _stored_experiment(said["experiment"])

    def create_run(
        self, experiment_id: str, tags: Mapping[str, str], name: str | None = None
    ) -> StoredRun:
        body: dict[str, object] = {
            "experiment_id": experiment_id,
            "user_id": tags.get(MLFLOW_USER, "unknown"),
            "start_time": int(time.time() * 1000),
            "tags": _items(tags),
        }
        if name:
            body["run_name"] = name
        for _ in range(_TIMES):
            try:
                return _stored_run(self._checked(*self._ask_once("runs/create", body))["run"])
            except ConnectionError:
                # The run may have been created: it has the tag of its submission.
                submission = tags.get(TAG_SUBMISSION, "")
                made = self.runs_with_tag(experiment_id, TAG_SUBMISSION, submission)
                if made:
                    return made[0]
        raise refused(self.tracking_uri, _LOST)

    def _create_experiment(self, name: str) -> None:
        status, said = self._ask("experiments/create", {"name": name})
        if said.get("error_code") != EXISTING:
            self._checked(status, said)

    def _run(self, run_id: str) -> StoredRun | None:
        said = self._find("runs/get", run_id=run_id)
        return None if said is None else _stored_run(said["run"])

    def _runs(self, experiment_ids: list[str], query: str, most: int) -> list[StoredRun]:
        asked = {"experiment_ids": experiment_ids, "filter": query, "max_results": most}
        said = self._checked(*self._ask("runs/search", asked))
        return [_stored_run(run) for run in said.get("runs", ())]

    def _experiments(self) -> list[str]:
        said = self._checked(*self._ask("experiments/search", {"max_results": _MOST_EXPERIMENTS}))
        return [str(each["experiment_id"]) for each in said.get("experiments", ())]

    def _log(
        self,
        run_id: str,
        *,
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Sequence[Metric] = (),
    ) -> None:
        said = [
            {
                "key": each.name,
                "value": _number(each.value),
                "timestamp": each.at,
                "step": each.step,
            }
            for each in metrics
        ]
        asked = {
            "run_id": run_id,
            "params": _items(parameters or {}),
            "tags": _items(tags or {}),
            "metrics": said,
        }
        self._checked(*self._ask("runs/log-batch", asked))

    def _update(self, run_id: str, status: str, ended_at: int | None = None) -> None:
        asked: dict[str, object] = {"run_id": run_id, "status": status}
        if ended_at is not None:
            asked["end_time"] = ended_at
        self._checked(*self._ask("runs/update", asked))

    def _find(self, what: str, **asked: str) -> dict[str, Any] | None:
        status, said = self._ask(f"{what}?{urlencode(asked)}", {}, "GET")
        if said.get("error_code") == MISSING:
            return None
        return self._checked(status, said)

    def _ask(
        self, what: str, asked: Mapping[str, object], method: str = "POST"
    ) -> tuple[int, dict[str, Any]]:
        """Ask for what may be asked for twice: all but to create a run."""
        for _ in range(_TIMES):
            with suppress(ConnectionError):
                return self._ask_once(what, asked, method)
        raise refused(self.tracking_uri, _LOST)

    def _ask_once(
        self, what: str, asked: Mapping[str, object], method: str = "POST"
    ) -> tuple[int, dict[str, Any]]:
        body = json.dumps(asked).encode() if asked else b""
        status, body = self._proxy.send(method, _API + what, body)
        try:
            said = json.loads(body)
        except ValueError:
            said = {"message": body.decode("utf-8", "replace")}
        return status, said if isinstance(said, dict) else {}

    def _checked(self, status: int, said: dict[str, Any]) -> dict[str, Any]:
        if status != _OK:
            code, message = said.get("error_code", ""), said.get("message", "")
            raise refused(self.tracking_uri, f"{code}: {message}" if code else str(message))
        return said


def _items(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _number(value: float) -> float | str:
    """https://protobuf.dev/programming-guides/json: what JSON has no number for is a text."""
    return value if math.isfinite(value) else json.dumps(value)


def _stored_run(run: Mapping[str, Any]) -> StoredRun:
    info, data = run["info"], run.get("data", {})
    started, ended = int(info.get("start_time") or 0), int(info.get("end_time") or 0)
    return StoredRun(
        run_id=str(info["run_id"]),
        name=str(info.get("run_name", "")),
        experiment_id=str(info["experiment_id"]),
        artifact_uri=str(info["artifact_uri"]),
        status=str(info["status"]),
        is_deleted=info.get("lifecycle_stage") == "deleted",
        started_at=started / 1000 if started else None,
        ended_at=ended / 1000 if ended else None,
        tags={each["key"]: each.get("value", "") for each in data.get("tags", ())},
        parameters={each["key"]: each.get("value", "") for each in data.get("params", ())},
        metrics={each["key"]: float(each.get("value", 0)) for each in data.get("metrics", ())},
    )


def _stored_experiment(experiment: Mapping[str, Any]) -> StoredExperiment:
    return StoredExperiment(
        str(experiment["experiment_id"]),
        str(experiment["name"]),
        str(experiment["artifact_location"]),
        is_deleted=experiment.get("lifecycle_stage") == "deleted",
    )
