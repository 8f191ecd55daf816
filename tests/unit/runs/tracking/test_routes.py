"""The table of MLflow's routes, and who may use them."""

from __future__ import annotations

import pytest

from container_backend.runs.tracking.rules.routes import Route, Rule, route_of, routes
from container_backend.store import StoreServer


# MLflow imports a module of Starlette that is about to go.
@pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")
def test_every_route_of_mlflow_is_in_the_table():
    """Of the newest here, and of the oldest by `scripts/test-matrix`."""
    missing = []
    for method, pattern in StoreServer.routes():
        # A part of a path that is not fixed, as Flask and as FastAPI write it.
        path = pattern
        for opening, closing in ("<>", "{}"):
            while opening in path and "assessment.trace_id" not in path:
                begin, end = path.index(opening), path.index(closing)
                path = f"{path[:begin]}x{path[end + 1 :]}"
        if route_of(method, path) is None:
            missing.append((method, pattern))
    assert missing == []


def test_no_route_is_in_the_table_twice():
    found = [(route.method, route.pattern) for route in routes()]
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("POST", "/api/2.0/mlflow/runs/create", Rule.NEW_RUN),
        ("POST", "/ajax-api/2.0/mlflow/runs/create", Rule.NEW_RUN),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/1/x/artifacts/a/b.txt", Rule.ARTIFACTS),
        ("GET", "/api/3.0/mlflow/traces/tr-1", Rule.TRACE),
        ("POST", "/v1/traces", Rule.NEW_TRACE),
        ("GET", "/", Rule.REFUSED),
        ("POST", "/graphql", Rule.REFUSED),
        ("POST", "/ajax-api/3.0/jobs/", Rule.REFUSED),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message", Rule.REFUSED),
        ("POST", "/gateway/x/mlflow/invocations", Rule.REFUSED),
        ("POST", "/api/2.0/mlflow/webhooks", Rule.REFUSED),
    ],
)
def test_a_request_has_the_rule_of_its_route(method, path, rule):
    route, _ = route_of(method, path)
    assert route.rule is rule


def test_a_fixed_path_goes_before_one_with_any_part():
    assert route_of("GET", "/api/3.0/mlflow/traces/batchGet") == (
        Route("GET", "3.0/mlflow/traces/batchGet", Rule.TRACE, reads=True),
        (),
    )
    assert route_of("GET", "/api/3.0/mlflow/traces/tr-1")[1] == ("tr-1",)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/2.0/mlflow/runs/create"),
        ("POST", "/api/2.0/mlflow/runs/create/more"),
        ("POST", "/api/9.0/mlflow/runs/create"),
        ("POST", "/x/api/2.0/mlflow/runs/create"),
        ("POST", "/api/api/2.0/mlflow/runs/create"),
        ("TRACE", "/health"),
    ],
)
def test_what_is_not_in_the_table_is_no_route(method, path):
    assert route_of(method, path) is None
