"""Addresses of artifacts, as programs see them and as the store has them.

A program sees the addresses of a stock MLflow server that serves its artifacts, and so neither a folder
of this machine nor a bucket:

    mlflow-artifacts:/EXPERIMENT/RUN/artifacts/…
    mlflow-artifacts:/EXPERIMENT/models/MODEL/artifacts/…
    mlflow-artifacts:/EXPERIMENT/traces/TRACE/artifacts/…

Only the address fields of MLflow's protocol are translated. A text of the program is never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEME: Final = "mlflow-artifacts:"
RUN: Final = "runs"
MODEL: Final = "models"
TRACE: Final = "traces"
# The tag of a trace that has the address of its artifacts (mlflow.tracing.constant).
TRACE_TAG: Final = "mlflow.artifactLocation"
_ID: Final = r"[A-Za-z0-9_-]+"
_PLACE: Final = re.compile(
    rf"(?P<experiment>{_ID})/(?:(?P<kind>{MODEL}|{TRACE})/)?(?P<id>{_ID})/artifacts(?:/(?P<rest>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Place:
    """Artifacts of a run, a logged model or a trace.

    Attributes:
        kind: ``RUN``, ``MODEL`` or ``TRACE``.
        path: Below the artifacts; empty for all of them. Not checked.
    """

    experiment_id: str
    kind: str
    id: str
    path: str = ""

    @property
    def address(self) -> str:
        kind = "" if self.kind == RUN else f"{self.kind}/"
        path = f"/{quote(self.path)}" if self.path else ""
        return f"{SCHEME}/{self.experiment_id}/{kind}{self.id}/artifacts{path}"


def place_of(address: str) -> Place | None:
    """The place that an address names, or the path of an artifact in a request; None for another."""
    path = unquote(address.removeprefix(SCHEME)) if address.startswith(SCHEME) else address
    if path.startswith("//"):  # the name of a server: clients add their own
        path = path[2:].partition("/")[2]
    match = _PLACE.fullmatch(path.strip("/"))
    if match is None:
        return None
    return Place(match["experiment"], match["kind"] or RUN, match["id"], match["rest"] or "")


class Shown:
    """Puts the addresses that programs see into an answer of the server, in place."""

    def __init__(
        self,
        place_at: Callable[[str, str, str], Place | None],
        is_served: Callable[[str], bool],
    ) -> None:
        """Translate with these functions.

        Args:
            place_at: Kind, id and an address → its place, if it is below the artifacts of that.
            is_served: The proxy serves the artifacts at an address; others are left as they are.
        """
        self._place_at = place_at
        self._is_served = is_served
        self._shown: dict[str, Callable[[dict[str, Any]], None]] = {
            "run": self._run,
            "runs": self._run,
            "experiment": self._experiment,
            "experiments": self._experiment,
            "model": self._model,
            "models": self._model,
            "model_version": self._version,
            "model_versions": self._version,
            "registered_model": self._registered,
            "registered_models": self._registered,
            "trace": self._trace,
            "traces": self._trace,
            "trace_info": self._trace,
            "trace_infos": self._trace,
        }

    def answer(self, said: dict[str, Any]) -> None:
        """Translate an answer, whose keys are fixed by the protocol."""
        for key in self._shown.keys() & said.keys():
            for each in _each(said[key]):
                self._shown[key](each)

    def source(self, source: str, run_id: str, model_id: str) -> str:
        """The source of a model's version: below the artifacts of its model or its run, or as it is."""
        for kind, named in ((MODEL, model_id), (RUN, run_id)):
            place = self._place_at(kind, named, source) if named else None
            if place is not None and self._is_served(source):
                return place.address
        return source

    def _put(self, fields: dict[str, Any], key: str, shown: str) -> None:
        if self._is_served(str(fields.get(key, ""))):
            fields[key] = shown

    def _run(self, run: dict[str, Any]) -> None:
        info = run.get("info", run)
        if "artifact_uri" in info:
            run_id = str(info.get("run_id") or info.get("run_uuid"))
            place = Place(str(info.get("experiment_id")), RUN, run_id)
            self._put(info, "artifact_uri", place.address)

    def _experiment(self, experiment: dict[str, Any]) -> None:
        if "artifact_location" in experiment:
            shown = f"{SCHEME}/{experiment.get('experiment_id')}"
            self._put(experiment, "artifact_location", shown)

    def _model(self, model: dict[str, Any]) -> None:
        info = model.get("info", model)
        if "artifact_uri" in info:
            place = Place(str(info.get("experiment_id")), MODEL, str(info.get("model_id")))
            self._put(info, "artifact_uri", place.address)

    def _version(self, version: dict[str, Any]) -> None:
        if source := version.get("source"):
            run_id, model_id = version.get("run_id", ""), version.get("model_id", "")
            version["source"] = self.source(str(source), str(run_id), str(model_id))

    def _registered(self, registered: dict[str, Any]) -> None:
        for version in _each(registered.get("latest_versions")):
            self._version(version)

    def _trace(self, trace: dict[str, Any]) -> None:
        info = trace.get("trace_info", trace)
        within = info.get("trace_location", {}).get("mlflow_experiment", {})
        experiment = str(info.get("experiment_id") or within.get("experiment_id"))
        shown = Place(
            experiment, TRACE, str(info.get("trace_id") or info.get("request_id"))
        ).address
        tags = info.get("tags")
        if isinstance(tags, dict) and TRACE_TAG in tags:
            self._put(tags, TRACE_TAG, shown)
        for tag in tags if isinstance(tags, list) else ():
            if tag.get("key") == TRACE_TAG:
                self._put(tag, "value", shown)


def _each(value: object) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, dict)]
