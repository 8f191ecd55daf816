"""Finds what a request has made in a proxy that was killed before it had noted that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from container_backend.runs.tracking.rules import MODEL, REGISTERED, RUN, Asked, Family, Rule
from container_backend.store import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable


class Made:
    """What is in the store and not yet known as made by a program."""

    def __init__(self, call: Callable[[Request], Answer], family: Family) -> None:
        self._call = call
        self._family = family

    def find(self, asked: Asked, request: Request, since: float) -> Answer | None:
        """What a request has made that began then, in a proxy that was killed."""
        rule, body = asked.route.rule, asked.body
        if rule is Rule.NEW_RUN:
            found = self._search(
                "runs", {"experiment_ids": [str(body.get("experiment_id"))], "max_results": 100,
                         "filter": f"attributes.start_time = {int(body.get('start_time') or 0)}"},
            )  # fmt: skip
            sent = {
                (tag["key"], tag["value"]) for tag in json.loads(request.body).get("tags") or ()
            }
            return self._newest("run", [
                run for run in found
                if sent <= {(tag["key"], tag["value"]) for tag in run["data"].get("tags") or ()}
            ])  # fmt: skip
        if rule is Rule.NEW_MODEL:
            found = self._search(
                "logged-models",
                {"experiment_ids": [str(body.get("experiment_id"))], "max_results": 50},
            )
            return self._newest("model", [
                model for model in found
                if body.get("source_run_id")
                and model["info"].get("source_run_id") == body["source_run_id"]
                and body.get("name", model["info"].get("name")) == model["info"].get("name")
                and model["info"]["creation_timestamp_ms"] >= since * 1000
            ])  # fmt: skip
        if rule is Rule.NEW_REGISTERED:
            query = urlencode({"name": str(body.get("name"))})
            answer = self._call(Request("GET", "/api/2.0/mlflow/registered-models/get", query))
            made = json.loads(answer.body).get("registered_model", {})
            if int(made.get("creation_timestamp", 0)) < since * 1000:
                return None
            self._family.add(REGISTERED, str(body.get("name")))
            return answer
        return None

    def _search(self, what: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        request = Request(
            "POST", f"/api/2.0/mlflow/{what}/search", "", json.dumps(body).encode(),
            {"content-type": "application/json"},
        )  # fmt: skip
        said = json.loads(self._call(request).body)
        return list(said.get("models" if what == "logged-models" else what) or ())

    def _newest(self, key: str, found: list[dict[str, Any]]) -> Answer | None:
        """The first that this program is not known to have made."""
        kind, name = (RUN, "run_id") if key == "run" else (MODEL, "model_id")
        for each in found:
            if not self._family.has(kind, str(each["info"][name])):
                self._family.add(kind, str(each["info"][name]))
                return Answer.of({key: each})
        return None
