"""Labels and tags are an interface to other processes, of other versions."""

from __future__ import annotations

from container_backend import naming


def test_the_interface_to_other_versions_is_as_it_was():
    """Other processes, of other versions, read what this one wrote."""
    assert naming.LABEL_RUN_ID == "container-backend.run-id"
    assert naming.LABEL_OWNER == "container-backend.owner"
    assert naming.LABEL_SUBMISSION == "container-backend.submission"
    assert naming.TAG_REASON == "container_backend.reason"
    assert naming.TAG_CAUSE == "container_backend.cause"
    assert naming.TAG_EXIT_CODE == "container_backend.exit_code"
