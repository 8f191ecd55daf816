"""What the last words of a failed program mean, where MLflow's own message does not say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from container_backend.errors import EngineError
from container_backend.labels_and_tags import ENVIRONMENT_DIRECTORY, LABEL_EXPERIMENT, LABEL_PYTHON
from container_backend.store import MLFLOW_VERSION

if TYPE_CHECKING:
    from container_backend.container import RunContainer
    from container_backend.engine import Engine

# mlflow.store.db.utils._verify_schema; alembic, where the database is of a version from the future.
_SCHEMA: Final = re.compile(r"out-of-date database schema|Can't locate revision identified by")
# mlflow.tracking.fluent.start_run, after mlflow.set_experiment with another one's name.
_OTHER_EXPERIMENT: Final = re.compile(
    r"Cannot start run with ID \S+ because active (?:experiment|run) ID does not match"
)
_VERSION: Final = re.compile(r'^VERSION\b.*= "([^"]+)"', re.MULTILINE)


def explain(tail: bytes, engine: Engine, container: RunContainer) -> str | None:
    """Why a program failed, and what to do; None where its own words have to do.

    Args:
        tail: The end of its output.
        engine: Where its container is.
        container: Not removed yet.
    """
    text = tail.decode("utf-8", "replace")
    if _OTHER_EXPERIMENT.search(text):
        experiment = container.labels.get(LABEL_EXPERIMENT) or "its experiment"
        return (
            f"the program calls mlflow.set_experiment, but its run is in '{experiment}' already. "
            "Leave the call out, and say where the run goes when you start it (--experiment-name)"
        )
    if _SCHEMA.search(text):
        found = _mlflow_in(engine, container)
        there = f"MLflow {found}" if found else "the MLflow"
        return (
            f"{there} of the image cannot read the tracking database, which MLflow "
            f"{MLFLOW_VERSION} of this machine uses with another schema. Put "
            f"mlflow=={MLFLOW_VERSION} into the requirements, or start a tracking server "
            "(`mlflow server`) and set MLFLOW_TRACKING_URI to it"
        )
    return None


def _mlflow_in(engine: Engine, container: RunContainer) -> str | None:
    """The version of MLflow in an environment image; None where it is not one of ours."""
    try:
        minor = ".".join(container.labels[LABEL_PYTHON].split(".")[:2])
        packages = f"{ENVIRONMENT_DIRECTORY}/lib/python{minor}/site-packages"
        text = engine.containers.read_file(container.id, f"{packages}/mlflow/version.py")
    except (EngineError, KeyError):
        return None
    match = _VERSION.search((text or b"").decode("utf-8", "replace"))
    return match[1] if match else None
