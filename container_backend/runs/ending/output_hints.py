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
# What the launcher writes of a step: see `_failed` in templates/container_backend_steps.py.
_STEP: Final = re.compile(r"^=== Step '(.+)' failed(?:: (.*))? ===$", re.MULTILINE)
_EXIT_CODE: Final = re.compile(r"the program ended with exit code \d+: ")
# What Python writes at the end of a traceback.
_NO_MODULE: Final = re.compile(r"^ModuleNotFoundError: (No module named '[^']+')", re.MULTILINE)
_ERROR: Final = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Warning)\b:? ?.*", re.MULTILINE)
# A traceback is the cause if no more than these lines follow.
_LAST_LINES: Final = 5
_VERSION: Final = re.compile(r'^VERSION\b.*= "([^"]+)"', re.MULTILINE)


def explain(tail: bytes, engine: Engine, container: RunContainer) -> str | None:
    """The cause and the remedy; None if the output matches no known failure."""
    return _explained(tail.decode("utf-8", "replace"), engine, container)


def _explained(text: str, engine: Engine, container: RunContainer) -> str | None:
    if steps := list(_STEP.finditer(text)):
        name, reason = steps[-1].groups()
        before = text[: steps[-1].start()]
        why = reason or _explained(before, engine, container) or _last_error(before)
        return f"step '{name}' failed" + (f": {_EXIT_CODE.sub('', why)}" if why else "")
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
    if missing := _NO_MODULE.search(_end_of(text)):
        return (
            f"{missing[1]}, which neither its environment nor its project has. Add the package to "
            "the project's requirements"
        )
    return None


def _end_of(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_LAST_LINES:])


def _last_error(text: str) -> str:
    found = _ERROR.findall(_end_of(text))
    return str(found[-1]).strip() if found else ""


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
