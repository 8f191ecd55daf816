"""The signature of a container's labels: only processes of the owner can make one.

Every user of an engine can read and set labels. A copy of all labels has a valid signature, too: so a
container counts as a run's only with the id in the ledger, or with the one name of that run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags
from container_backend.machine import is_signature, sign

if TYPE_CHECKING:
    from collections.abc import Mapping

# All labels from which another process finishes a run.
_SIGNED: Final = (
    labels_and_tags.LABEL_OWNER,
    labels_and_tags.LABEL_SUBMISSION,
    labels_and_tags.LABEL_RUN_ID,
    labels_and_tags.LABEL_EXPERIMENT_ID,
    labels_and_tags.LABEL_TRACKING_URI,
    labels_and_tags.LABEL_RECORD,
    labels_and_tags.LABEL_KEEP,
    labels_and_tags.LABEL_TIMEOUT,
    labels_and_tags.LABEL_MOST_OUTPUT,
    labels_and_tags.LABEL_LOGINS,
    labels_and_tags.LABEL_RETRIES,
    labels_and_tags.LABEL_RETRY_PROGRAM,
)


def signed(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels with their signature."""
    return {**labels, labels_and_tags.LABEL_SIGNATURE: sign(_text(labels))}


def is_signed(labels: Mapping[str, str]) -> bool:
    """True if a process of this user set the labels."""
    return is_signature(_text(labels), labels.get(labels_and_tags.LABEL_SIGNATURE, ""))


def _text(labels: Mapping[str, str]) -> str:
    return json.dumps([labels.get(name, "") for name in _SIGNED])
