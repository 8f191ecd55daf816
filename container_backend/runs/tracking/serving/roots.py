"""Where the artifacts of a run, a model or a trace lie, as the store says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from container_backend.container import local_path
from container_backend.runs.tracking.rules import MODEL, RUN, TRACE, Place, Refused
from container_backend.store import (
    ArtifactRepository,
    Request,
    WrongPath,
    artifact_repository,
    list_folder,
    parts_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.runs.tracking.serving.served import Served

_MOST_KNOWN: Final = 4096
_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


class Roots:
    """Asks the store once for each run, model and trace: the place of artifacts never changes."""

    def __init__(self, store: Served, tracking_uri: str) -> None:
        self._store = store
        self._tracking_uri = tracking_uri
        self._known = lru_cache(_MOST_KNOWN)(self._ask)

    def find(self, kind: str, named: str) -> Place | None:
        """The place of all artifacts of something; None if the store has no such thing."""
        try:
            experiment, _ = self._known(kind, named)
        except KeyError:
            return None
        return Place(experiment, kind, named)

    def address(self, place: Place) -> str:
        """The address of a place in the store. Raises Refused if the store has no such thing."""
        try:
            _, root = self._known(place.kind, place.id)
            below = "/".join(parts_of(place.path))
        except (KeyError, WrongPath):
            raise Refused(
                404, "RESOURCE_DOES_NOT_EXIST", f"There is no '{place.address}'."
            ) from None
        return f"{root.rstrip('/')}/{below}" if below else root

    def _root(self, place: Place) -> str:
        return self.address(replace(place, path=""))

    def folder(self, place: Place) -> Path | None:
        """The folder of all artifacts of something; None if it is not on this machine's disk."""
        return local_path(self._root(place))

    def elsewhere(self, place: Place) -> ArtifactRepository:
        """MLflow's client of all artifacts of something that are not on this disk."""
        return artifact_repository(self._root(place), self._tracking_uri)

    def place_at(self, kind: str, named: str, address: str) -> Place | None:
        """The place of an address, if it is among the artifacts of something."""
        try:
            experiment, root = self._known(kind, named)
        except KeyError:
            return None
        inner, outer = _plain(address), _plain(root)
        if inner != outer and not inner.startswith(f"{outer}/"):
            return None
        return Place(experiment, kind, named, inner[len(outer) :].strip("/"))

    def listed(self, place: Place, path: str) -> list[dict[str, Any]]:
        """What is in a folder of artifacts, as MLflow says it."""
        folder = self.folder(place)
        try:
            parts = "/".join(parts_of(path))
        except WrongPath:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"Invalid path: {path}") from None
        if folder is None:
            return [
                _said(each.path, None if each.is_dir else each.file_size or 0)
                for each in self.elsewhere(place).list_artifacts(parts or None)
            ]
        found = list_folder(folder, parts)
        above = f"{parts}/" if parts else ""
        return [_said(f"{above}{each.path}", each.size) for each in found]

    def _ask(self, kind: str, named: str) -> tuple[str, str]:
        """The experiment and the address. Raises KeyError if the store has no such thing."""
        if not _ID.fullmatch(named):
            raise KeyError(named)
        if kind == RUN:
            info = self._get("2.0/mlflow/runs/get", urlencode({"run_id": named}))["run"]["info"]
            return str(info["experiment_id"]), str(info["artifact_uri"])
        if kind == MODEL:
            info = self._get(f"2.0/mlflow/logged-models/{named}")["model"]["info"]
            return str(info["experiment_id"]), str(info["artifact_uri"])
        if kind == TRACE:
            # Not the tag of the trace that says where its artifacts are: clients can set tags.
            info = self._get(f"3.0/mlflow/traces/{named}")["trace"]["trace_info"]
            experiment = str(info["trace_location"]["mlflow_experiment"]["experiment_id"])
            query = urlencode({"experiment_id": experiment})
            found = self._get("2.0/mlflow/experiments/get", query)["experiment"]
            root = str(found["artifact_location"]).rstrip("/")
            return experiment, f"{root}/{TRACE}/{named}/artifacts"
        raise KeyError(kind)

    def _get(self, path: str, query: str = "") -> dict[str, Any]:
        answer = self._store.call(Request("GET", f"/api/{path}", query))
        if not answer.is_ok:
            raise KeyError(path)
        return dict(json.loads(answer.body))


def _said(path: str, size: int | None) -> dict[str, Any]:
    """A file or a folder in MLflow's protocol; ``size`` is None for a folder."""
    return (
        {"path": path, "is_dir": True}
        if size is None
        else {"path": path, "is_dir": False, "file_size": size}
    )


def _plain(address: str) -> str:
    """An address that can be compared: that of a folder as a path."""
    if address.startswith("file:"):
        return unquote(urlsplit(address).path).rstrip("/")
    return address.rstrip("/")
