"""Reads untrusted labels, tags and records safely: an invalid value counts as missing. Pure.

Every user of the engine can set a container's labels, an image's author sets its labels, and a
program can set tags.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

# Run ids and submissions become file names.
_RUN_ID: Final = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
_SUBMISSION: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_EXIT_CODE: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
# A hundred years; longer times overflow clocks and timers.
_LONGEST_SECONDS: Final = 100 * 365 * 86_400.0


def run_id_in(labels: Mapping[str, str]) -> str:
    """The run id of a container; empty if the container has no run."""
    return _matching(_RUN_ID, labels.get(labels_and_tags.LABEL_RUN_ID))


def submission_in(labels: Mapping[str, str]) -> str:
    """The name of a run's entry in the ledger; empty if the container has no run."""
    run_id = run_id_in(labels)
    text = labels.get(labels_and_tags.LABEL_SUBMISSION) or run_id
    return text if run_id and is_submission(text) else ""


def is_submission(text: str) -> bool:
    """True if a text can be the name of an entry in the ledger."""
    return _SUBMISSION.fullmatch(text) is not None


def hash_in(labels: Mapping[str, str]) -> str:
    """The environment hash of an image; empty if missing."""
    return _matching(_HASH, labels.get(labels_and_tags.LABEL_ENVIRONMENT_HASH))


def base_digest_in(labels: Mapping[str, str]) -> str:
    """The digest of an image's base image; empty if missing."""
    return _matching(_DIGEST, labels.get(labels_and_tags.LABEL_BASE_DIGEST))


def _matching(pattern: re.Pattern[str], text: str | None) -> str:
    return text if text and pattern.fullmatch(text) else ""


def seconds_of(text: str | None) -> float | None:
    """A positive number of seconds; None if missing or invalid."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= _LONGEST_SECONDS else None


def count_of(text: str | None) -> int | None:
    """A number that is not negative; None if missing or invalid."""
    return int(text) if text and _COUNT.fullmatch(text) else None


def exit_code_of(text: str | None) -> int | None:
    """An exit code; None if missing or invalid."""
    return int(text) if text and _EXIT_CODE.fullmatch(text) else None
