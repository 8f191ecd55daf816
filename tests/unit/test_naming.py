"""Names of containers say what becomes of their runs."""

from __future__ import annotations

import pytest

from container_backend import naming
from container_backend.naming import CANCELLED, KEPT, TIMED_OUT, container_name, ending_of

RUN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("ending", ["", CANCELLED, TIMED_OUT, KEPT])
def test_an_ending_is_read_back_from_a_name(ending):
    assert ending_of(container_name(RUN, ending)) == ending
    assert ending_of(f"/{container_name(RUN, ending)}") == ending


@pytest.mark.parametrize("name", ["", "/somebody.cancelled", "x-mlflow-run-1.kept"])
def test_names_of_others_say_nothing(name):
    assert ending_of(name) == ""


def test_the_interface_to_other_versions_is_as_it_was():
    """Other processes, of other versions, read what this one wrote."""
    assert container_name(RUN, CANCELLED) == f"mlflow-run-{RUN}.cancelled"
    assert naming.LABEL_RUN_ID == "container-backend.run-id"
    assert naming.LABEL_OWNER == "container-backend.owner"
    assert naming.LABEL_SUBMISSION == "container-backend.submission"
    assert naming.TAG_REASON == "container_backend.reason"
    assert naming.TAG_CAUSE == "container_backend.cause"
    assert naming.TAG_EXIT_CODE == "container_backend.exit_code"
