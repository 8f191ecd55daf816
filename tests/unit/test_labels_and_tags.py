"""Labels and tags are an interface to other processes, of other versions."""

from __future__ import annotations

from container_backend import labels_and_tags


def test_the_interface_to_other_versions_is_as_it_was():
    """Other processes, of other versions, read what this one wrote."""
    assert labels_and_tags.LABEL_RUN_ID == "container-backend.run-id"
    assert labels_and_tags.LABEL_OWNER == "container-backend.owner"
    assert labels_and_tags.LABEL_SUBMISSION == "container-backend.submission"
    assert labels_and_tags.TAG_REASON == "container_backend.reason"
    assert labels_and_tags.TAG_CAUSE == "container_backend.cause"
    assert labels_and_tags.TAG_EXIT_CODE == "container_backend.exit_code"
