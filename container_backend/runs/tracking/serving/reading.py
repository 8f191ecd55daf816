"""Reads the requests of programs; refuses what is not what is checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from container_backend.runs.tracking.rules import TRACE_TAG, Asked, Refused, forbidden
from container_backend.store import trace_ids

if TYPE_CHECKING:
    from container_backend.store import Request

TRACES: Final = "v1/traces"
# An attribute of a span that becomes a tag of its trace (mlflow.tracing.constant).
_PLACE_IN_SPANS: Final = f"mlflow.traceTag.{TRACE_TAG}".encode()


def read_spans(request: Request) -> tuple[str, ...]:
    kind = request.headers.get("content-type", "")
    if kind != "application/x-protobuf" or request.headers.get("content-encoding"):
        # What is checked has to be what MLflow reads.
        raise Refused(
            415, "BAD_REQUEST", "Spans are taken as application/x-protobuf, not compressed."
        )
    if _PLACE_IN_SPANS in request.body:
        raise _no_place("a span")
    try:
        return trace_ids(request.body)
    except Exception as error:  # of protobuf, of a decompressor
        raise Refused(400, "BAD_REQUEST", "The spans cannot be read.") from error


def refuse_place_of_trace(asked: Asked) -> None:
    """Raise Refused for a request that would say where the artifacts of a trace are."""
    if "traces" not in asked.route.pattern or asked.route.reads:
        return
    info = asked.body.get("trace", {}).get("trace_info", {}) if asked.body.get("trace") else {}
    for tags in (asked.body.get("tags"), info.get("tags")):
        keys = tags if isinstance(tags, dict) else [each.get("key") for each in tags or ()]
        if TRACE_TAG in keys:
            raise _no_place("a trace")
    if TRACE_TAG in asked.named("key"):
        raise _no_place("a trace")


def _no_place(what: str) -> Refused:
    return forbidden(f"A program cannot say where the artifacts of {what} lie.")


def read_json(request: Request) -> dict[str, Any]:
    if not request.body:
        return {}
    try:
        said = json.loads(request.body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Refused(400, "BAD_REQUEST", "The request is not JSON.")
    return said
