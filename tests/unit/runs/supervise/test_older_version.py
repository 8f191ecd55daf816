"""Runs that an older version has started."""

from __future__ import annotations

import pytest

from container_backend import labels_and_tags
from container_backend.runs.ledger import Note
from container_backend.runs.supervise.supervisor import _is_of_older_version

RUN = "a" * 32


@pytest.mark.parametrize(
    ("note", "labels", "is_older"),
    [
        (Note("", "0", run_id=RUN), {}, True),
        (None, {}, False),
        (Note("", "0", run_id="b" * 32), {}, False),
        # This version notes the container.
        (Note("", "0", run_id=RUN, container="1"), {}, False),
        (Note("", "0", run_id=RUN), {labels_and_tags.LABEL_SIGNATURE: "0"}, False),
    ],
)
def test_their_containers_count_without_a_signature(note, labels, is_older):
    assert _is_of_older_version({labels_and_tags.LABEL_RUN_ID: RUN, **labels}, note) == is_older
