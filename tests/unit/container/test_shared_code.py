"""Whose code is shared."""

from __future__ import annotations

import pytest

from container_backend.container.shared_code import overlaps


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/mlflow/projects/code", True),
        ("/mlflow/projects/code/data/", True),
        ("/mlflow/home", True),
        ("/mlflow", True),
        ("/", True),
        ("/mlflow-data", False),
        ("/data/mlflow", False),
        ("/tmp", False),
    ],
)
def test_what_hides_code_or_a_part_of_it(folder, expected):
    assert overlaps([folder]) == expected


def test_nothing_hides_nothing():
    assert not overlaps([])
