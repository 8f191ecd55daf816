"""What the last words of a failed program mean, where MLflow's own message does not say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import mlflow
from docker.errors import DockerException

from container_backend.container import read_file
from container_backend.names import ENVIRONMENT_DIRECTORY, LABEL_PYTHON

if TYPE_CHECKING:
    from container_backend.engine import Engine

# How much of the end of the output is looked at.
TAIL_BYTES: Final = 16 * 1024
# mlflow.store.db.utils._verify_schema; alembic, where the database is of a version from the future.
_SCHEMA: Final = re.compile(r"out-of-date database schema|Can't locate revision identified by")
_VERSION: Final = re.compile(r'^VERSION\b.*= "([^"]+)"', re.MULTILINE)


def explain(tail: bytes, engine: Engine, container_id: str) -> str | None:
    """Why a program failed, and what to do; None where its own words have to do.

    Args:
        tail: The end of its output.
        engine: Where its container is.
        container_id: Not removed yet.
    """
    if _SCHEMA.search(tail.decode("utf-8", "replace")):
        found = _mlflow_in(engine, container_id)
        there = f"MLflow {found}" if found else "the MLflow"
        return (
            f"{there} of the image cannot read the tracking database, which MLflow "
            f"{mlflow.__version__} of this machine uses with another schema. Put "
            f"mlflow=={mlflow.__version__} into the requirements, or start a tracking server "
            "(`mlflow server`) and set MLFLOW_TRACKING_URI to it"
        )
    return None


def _mlflow_in(engine: Engine, container_id: str) -> str | None:
    """The version of MLflow in an environment image; None where it is not one of ours."""
    try:
        labels = engine.client.api.inspect_container(container_id)["Config"]["Labels"]
        minor = ".".join(str(labels[LABEL_PYTHON]).split(".")[:2])
        packages = f"{ENVIRONMENT_DIRECTORY}/lib/python{minor}/site-packages"
        text = read_file(engine, container_id, f"{packages}/mlflow/version.py")
    except (DockerException, KeyError, OSError):
        return None
    match = _VERSION.search((text or b"").decode())
    return match[1] if match else None
