"""Addresses as programs see them."""

from __future__ import annotations

import copy

import pytest

from container_backend.runs.tracking.rules.addresses import (
    MODEL,
    RUN,
    TRACE,
    Place,
    Shown,
    place_of,
)

HERE = "/home/me/mlruns/7/r1/artifacts"


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("mlflow-artifacts:/7/r1/artifacts", Place("7", RUN, "r1")),
        ("mlflow-artifacts:/7/r1/artifacts/a/b c.txt", Place("7", RUN, "r1", "a/b c.txt")),
        ("mlflow-artifacts:/7/r1/artifacts/a%20b", Place("7", RUN, "r1", "a b")),
        ("mlflow-artifacts://server:5000/7/r1/artifacts", Place("7", RUN, "r1")),
        ("7/models/m-1/artifacts/MLmodel", Place("7", MODEL, "m-1", "MLmodel")),
        ("7/traces/tr-1/artifacts", Place("7", TRACE, "tr-1")),
        ("7/r1/artifacts/../../x", Place("7", RUN, "r1", "../../x")),
        ("7/r1", None),
        ("7", None),
        ("", None),
        ("mlflow-artifacts:/etc/passwd", None),
        ("../7/r1/artifacts", None),
    ],
)
def test_an_address_names_a_place(address, place):
    assert place_of(address) == place


@pytest.mark.parametrize("place", [Place("7", RUN, "r1", "a b/ü#?.txt"), Place("7", MODEL, "m-1")])
def test_a_place_has_an_address(place):
    assert place_of(place.address) == place


def place_at(kind: str, named: str, address: str) -> Place | None:
    """The artifacts of one run are known."""
    if (kind, named) == (RUN, "r1") and address.startswith(HERE):
        return Place("7", RUN, "r1", address.removeprefix(HERE).strip("/"))
    return None


SHOWN = Shown(place_at, lambda address: not address.startswith("s3:"))
ANSWERS = [
    (
        {"run": {"info": {"run_id": "r1", "experiment_id": "7", "artifact_uri": HERE}}},
        {"run": {"info": {"run_id": "r1", "experiment_id": "7",
                          "artifact_uri": "mlflow-artifacts:/7/r1/artifacts"}}},
    ),
    (
        {"experiments": [{"experiment_id": "7", "artifact_location": "file:///home/me/mlruns/7"}]},
        {"experiments": [{"experiment_id": "7", "artifact_location": "mlflow-artifacts:/7"}]},
    ),
    (
        {"models": [{"info": {"model_id": "m-1", "experiment_id": "7", "artifact_uri": "/x"}}]},
        {"models": [{"info": {"model_id": "m-1", "experiment_id": "7",
                              "artifact_uri": "mlflow-artifacts:/7/models/m-1/artifacts"}}]},
    ),
    (
        {"model_version": {"source": f"{HERE}/model", "run_id": "r1"}},
        {"model_version": {"source": "mlflow-artifacts:/7/r1/artifacts/model", "run_id": "r1"}},
    ),
    (
        {"registered_models": [{"latest_versions": [{"source": f"{HERE}/m", "run_id": "r1"}]}]},
        {"registered_models": [{"latest_versions": [
            {"source": "mlflow-artifacts:/7/r1/artifacts/m", "run_id": "r1"}]}]},
    ),
    (
        {"trace": {"trace_info": {
            "trace_id": "tr-1", "tags": {"mlflow.artifactLocation": "/x", "a": "/x"},
            "trace_location": {"mlflow_experiment": {"experiment_id": "7"}}}}},
        {"trace": {"trace_info": {
            "trace_id": "tr-1",
            "tags": {"mlflow.artifactLocation": "mlflow-artifacts:/7/traces/tr-1/artifacts", "a": "/x"},
            "trace_location": {"mlflow_experiment": {"experiment_id": "7"}}}}},
    ),
    (
        {"trace_info": {"request_id": "tr-1", "experiment_id": "7",
                        "tags": [{"key": "mlflow.artifactLocation", "value": "/x"}]}},
        {"trace_info": {"request_id": "tr-1", "experiment_id": "7", "tags": [
            {"key": "mlflow.artifactLocation", "value": "mlflow-artifacts:/7/traces/tr-1/artifacts"}]}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "shown"), ANSWERS, ids=lambda each: next(iter(each)))
def test_the_address_fields_of_an_answer_are_translated(said, shown):
    said = copy.deepcopy(said)
    SHOWN.answer(said)
    assert said == shown


@pytest.mark.parametrize(
    "said",
    [
        {"run": {"data": {"params": [{"key": "artifact_uri", "value": HERE}],
                          "tags": [{"key": "artifact_location", "value": HERE}]},
                 "info": {"run_id": "r1", "experiment_id": "7"}}},
        {"run": {"info": {"run_id": "r1", "experiment_id": "7", "artifact_uri": "s3://b/7/r1"}}},
        {"model_version": {"source": "models:/m-1", "run_id": "r1", "description": HERE}},
        {"model_version": {"source": "/home/me/other", "run_id": "r1"}},
        {"dataset": {"source": HERE}, "metrics": [{"key": HERE, "value": 1}]},
    ],
    ids=["texts", "a bucket", "a model", "elsewhere", "other keys"],
)  # fmt: skip
def test_nothing_else_is_touched(said):
    before = copy.deepcopy(said)
    SHOWN.answer(said)
    assert said == before
