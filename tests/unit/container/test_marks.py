"""The name of a container carries the mark of its run."""

from __future__ import annotations

import pytest

from container_backend.container.marks import (
    CANCELLED,
    KEPT,
    TIMED_OUT,
    container_name,
    mark_of,
)

RUN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("mark", ["", CANCELLED, TIMED_OUT, KEPT])
def test_a_mark_is_read_back_from_a_name(mark):
    assert mark_of(container_name(RUN, mark)) == mark
    assert mark_of(f"/{container_name(RUN, mark)}") == mark


@pytest.mark.parametrize("name", ["", "/other.cancelled", "x-mlflow-run-1.kept"])
def test_names_of_others_have_no_mark(name):
    assert mark_of(name) == ""


def test_other_versions_read_the_same_names():
    assert container_name(RUN) == f"mlflow-run-{RUN}"
    assert container_name(RUN, CANCELLED) == f"mlflow-run-{RUN}.cancelled"
    assert container_name(RUN, TIMED_OUT) == f"mlflow-run-{RUN}.timeout"
    assert container_name(RUN, KEPT) == f"mlflow-run-{RUN}.kept"
