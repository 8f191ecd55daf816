"""Explains a failed program by its output, where MLflow's own message does not help."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from container_backend.errors import EngineError
from container_backend.labels_and_tags import ENVIRONMENT_DIRECTORY, LABEL_EXPERIMENT, LABEL_PYTHON
from container_backend.store import mlflow_version

if TYPE_CHECKING:
    from container_backend.container import RunContainer
    from container_backend.engine import Engine

# From mlflow.store.db.utils._verify_schema; from alembic, for the database of a newer MLflow.
_SCHEMA: Final = re.compile(r"out-of-date database schema|Can't locate revision identified by")
# From mlflow.tracking.fluent.start_run, after mlflow.set_experiment with another experiment.
_OTHER_EXPERIMENT: Final = re.compile(
    r"Cannot start run with ID \S+ because active (?:experiment|run) ID does not match"
)
_VERSION: Final = re.compile(r'^VERSION\b.*= "([^"]+)"', re.MULTILINE)


def explain(tail: bytes, engine: Engine, container: RunContainer) -> str | None:
    """The cause and the remedy; None if the output matches no known failure."""
    text = tail.decode("utf-8", "replace")
    if _OTHER_EXPERIMENT.search(text):
        experiment = container.labels.get(LABEL_EXPERIMENT) or "its experiment"
        return (
            f"the program calls mlflow.set_experiment, but its run is in '{experiment}' already. "
            "Leave the call out, and choose the experiment at the start (--experiment-name)"
        )
    if _SCHEMA.search(text):
        found = _mlflow_in(engine, container)
        there = f"MLflow {found}" if found else "the MLflow"
        return (
            f"{there} of the image cannot read the tracking database, which MLflow "
            f"{mlflow_version()} of this machine uses with another schema. Put "
            f"mlflow=={mlflow_version()} into the requirements, or start a tracking server "
            "(`mlflow server`) and set MLFLOW_TRACKING_URI to it"
        )
    return None


def _mlflow_in(engine: Engine, container: RunContainer) -> str | None:
    """The version of MLflow in an environment image of ours; None for another image."""
    try:
        minor = ".".join(container.labels[LABEL_PYTHON].split(".")[:2])
        packages = f"{ENVIRONMENT_DIRECTORY}/lib/python{minor}/site-packages"
        text = engine.containers.read_file(container.id, f"{packages}/mlflow/version.py")
    except (EngineError, KeyError):
        return None
    match = _VERSION.search((text or b"").decode("utf-8", "replace"))
    return match[1] if match else None
