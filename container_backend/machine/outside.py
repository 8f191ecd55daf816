"""What others may have written (labels, tags, records), read so that it can do no harm. Pure.

A container's labels can be set by all who may use the engine, those of an image by its author, and
tags by the program. What cannot be read is as if it were missing.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from container_backend import labels_and_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

# They become names of files: nothing else is let through.
_RUN_ID: Final = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
_SUBMISSION: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_COUNT: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_EXIT_CODE: Final = re.compile(r"-?[0-9]{1,9}", re.ASCII)
# A hundred years. Beyond it there is no deadline: clocks and timers overflow.
_LONGEST_SECONDS: Final = 100 * 365 * 86_400.0


def run_id_in(labels: Mapping[str, str]) -> str:
    """The id of a container's run; empty where it is of none."""
    text = labels.get(labels_and_tags.LABEL_RUN_ID) or ""
    return text if _RUN_ID.fullmatch(text) else ""


def submission_in(labels: Mapping[str, str]) -> str:
    """The name of a run's entry in the ledger; empty for a container that is not a run's."""
    run_id = run_id_in(labels)
    text = labels.get(labels_and_tags.LABEL_SUBMISSION) or run_id
    return text if run_id and is_submission(text) else ""


def is_submission(text: str) -> bool:
    """Whether a text may be the name of an entry in the ledger."""
    return _SUBMISSION.fullmatch(text) is not None


def hash_in(labels: Mapping[str, str]) -> str:
    """The environment hash of an image; empty where it has none."""
    text = labels.get(labels_and_tags.LABEL_ENVIRONMENT_HASH) or ""
    return text if _HASH.fullmatch(text) else ""


def base_digest_in(labels: Mapping[str, str]) -> str:
    """The digest of what an image was built on; empty where it does not say so."""
    text = labels.get(labels_and_tags.LABEL_BASE_DIGEST) or ""
    return text if _DIGEST.fullmatch(text) else ""


def seconds_of(text: str | None) -> float | None:
    """A time span in seconds; None for none, and for what is not a time that may pass."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= _LONGEST_SECONDS else None


def count_of(text: str | None) -> int | None:
    """How many; None where that is not said."""
    return int(text) if text and _COUNT.fullmatch(text) else None


def exit_code_of(text: str | None) -> int | None:
    """An exit code; None where there is none."""
    return int(text) if text and _EXIT_CODE.fullmatch(text) else None
