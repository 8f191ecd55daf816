"""All undocumented parts of MLflow that this package uses.

The tests of this module run with the oldest and the newest MLflow (scripts/test-matrix). MLflow 3.1
to 3.17 have the same parts in the same places, except where a comment says otherwise.
"""

from __future__ import annotations

import inspect
import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import fluent
from mlflow.tracking.default_experiment.registry import get_experiment_id
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

if TYPE_CHECKING:
    from contextvars import ContextVar

    from fastapi import FastAPI
    from flask import Flask

__all__ = ["ArtifactRepository"]


def artifact_repository(artifact_uri: str, tracking_uri: str) -> ArtifactRepository:
    """The artifact repository at an address.

    ``TrackingServiceClient._get_artifact_repo`` would read the whole run to find the address.

    Raises:
        Exception: An error of the artifact store.
    """
    address = add_databricks_profile_info_to_artifact_uri(artifact_uri, tracking_uri)
    # MLflow 3.1 lacks the parameter, and takes the tracking store of the environment.
    if "tracking_uri" in inspect.signature(get_artifact_repository).parameters:
        return get_artifact_repository(address, tracking_uri=tracking_uri)
    return get_artifact_repository(address)


def active_experiment_id() -> str | None:
    """From ``mlflow.set_experiment``."""
    active = fluent._active_experiment_id
    return None if active is None else str(active)


def chosen_experiment_id() -> str:
    """From the plugins for default experiments, and the notebooks of Databricks."""
    return str(get_experiment_id())


def default_experiment_id() -> str:
    """The experiment that ``mlflow.projects.run`` takes where none is named."""
    return str(fluent._get_experiment_id())


def server_application(tracking_uri: str, root: str) -> Flask:
    """The application of ``mlflow server``, over a store of this machine. It is made once in a process.

    Args:
        root: Where new experiments have their artifacts: an address.
    """
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": tracking_uri,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": root,
        # Who asks is known by the token; the check of the Host header is for browsers.
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    from mlflow.server import app

    return app


def server_routes() -> list[tuple[str, str]]:
    """Method and path of all routes of this version's server, of Flask and of FastAPI."""
    from mlflow.server import app

    found = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    with suppress(ImportError):  # MLflow 3.1 has none
        from mlflow.server import fastapi_app

        for name, prefix in (
            ("artifact_router", ""), ("job_api_router", ""), ("assistant_router", ""),
            ("gateway_router", ""), ("otel_router", ""), ("server_info_router", ""),
            ("mcp_server_router", "/api/3.0/mlflow/mcp-servers"),
        ):  # fmt: skip
            for route in getattr(getattr(fastapi_app, name, None), "routes", ()):
                found |= {(method, prefix + route.path) for method in route.methods - {"HEAD"}}
    return sorted(found)


@cache
def traces_application() -> FastAPI | None:
    """The ASGI application that takes spans (OpenTelemetry); None before MLflow 3.4."""
    try:
        from mlflow.server.otel_api import otel_router
    except ImportError:
        return None
    from fastapi import FastAPI

    application = FastAPI()
    application.include_router(otel_router)
    return application


def store_with_root(root: ContextVar[str]) -> None:
    """Have the server's store put new experiments below the root that the variable has, if any.

    A store has one root, and each client of a store on disk has its own: its current folder.
    """
    from mlflow.server.handlers import _get_tracking_store

    store = _get_tracking_store()
    if not hasattr(store, "artifact_root_uri"):
        return
    default = store.artifact_root_uri
    kind = type(store)

    class _Rooted(kind):  # type: ignore[misc, valid-type]
        @property
        def artifact_root_uri(self) -> str:
            return root.get() or default

        @artifact_root_uri.setter
        def artifact_root_uri(self, value: str) -> None:
            raise AttributeError(value)

    store.__class__ = _Rooted


def ask_server(
    tracking_uri: str, method: str, endpoint: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes, dict[str, str]]:
    """Ask a tracking server, with the login of this process: by whatever way MLflow knows.

    Args:
        endpoint: The path, with the query.

    Returns:
        Status, body and headers of the answer.

    Raises:
        MlflowException: The server does not answer.
    """
    said = http_request(
        get_default_host_creds(tracking_uri), endpoint, method,
        max_retries=0, raise_on_status=False, extra_headers=headers, data=body or None,
    )  # fmt: skip
    return said.status_code, said.content, dict(said.headers)


def trace_ids(body: bytes) -> tuple[str, ...]:
    """The ids of the traces in a request of OpenTelemetry (OTLP, protobuf).

    Raises:
        Exception: The body is not such a request.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    said = ExportTraceServiceRequest()
    said.ParseFromString(body)
    return tuple({
        f"tr-{span.trace_id.hex()}"
        for resource in said.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    })  # fmt: skip
