"""The store for runs without MLFLOW_TRACKING_URI: a folder of the container, for a volume."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final

from container_backend.labels_and_tags import RESULTS_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger("container_backend.runner")
_TRACKING_URI: Final = "MLFLOW_TRACKING_URI"
_KEEP: Final = f"docker run -v NAME:{RESULTS_DIRECTORY}"
# MLflow's place for the artifacts of a database; the project's folder has a link to this folder.
ARTIFACTS: Final = f"{RESULTS_DIRECTORY}/mlruns"


def with_store(environ: Mapping[str, str], store: str) -> dict[str, str]:
    """The variables of the program with a tracking address, which a log line tells.

    Args:
        store: The tracking address to use if none is set; empty for a project without MLflow.
    """
    environment = dict(environ)
    given = environment.get(_TRACKING_URI)
    if given and not given.startswith("sqlite:"):
        return environment
    if not given and not store:  # a project without MLflow
        return environment
    with contextlib.suppress(OSError):
        os.mkdir(ARTIFACTS)  # noqa: PTH102 a volume may lack the folder
    if given:
        _logger.info("=== Artifacts go to %s. To keep them: %s ===", ARTIFACTS, _KEEP)
        return environment
    environment[_TRACKING_URI] = store
    if store.startswith("file:"):
        environment.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    if not os.access(RESULTS_DIRECTORY, os.W_OK):
        _logger.warning(
            "MLFLOW_TRACKING_URI is not set, and user %s may not write to %s: make the folder "
            "writable, or run as its owner (docker run --user)",
            os.getuid(),
            RESULTS_DIRECTORY,
        )
    else:
        is_kept = os.path.ismount(RESULTS_DIRECTORY)
        advice = "" if is_kept else f" in this container. To keep them: {_KEEP}"
        where = f"{RESULTS_DIRECTORY}{advice}"
        _logger.info("=== MLFLOW_TRACKING_URI is not set: results go to %s ===", where)
    return environment


def say_where_they_are(environ: Mapping[str, str]) -> None:
    """Log where the results are, if the program wrote any and no tracking address was set."""
    if RESULTS_DIRECTORY not in environ.get(_TRACKING_URI, ""):
        return
    with contextlib.suppress(OSError):
        if set(os.listdir(RESULTS_DIRECTORY)) - {"mlruns"} or os.listdir(ARTIFACTS):  # noqa: PTH208
            _logger.info("=== Results are in %s ===", RESULTS_DIRECTORY)
