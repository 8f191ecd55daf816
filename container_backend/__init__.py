"""Run MLflow projects in containers of their own environment.

The public surface: :func:`run`, :func:`build`, :func:`attach` and the errors.
"""

from __future__ import annotations

from container_backend.api import attach, build, run
from container_backend.errors import (
    BuildError,
    ContainerBackendError,
    ContainerError,
    EngineError,
    EngineUnavailable,
    ImageUnavailable,
    InvalidConfig,
    InvalidEnvironment,
    InvalidInput,
    InvalidProject,
    NotRepeatable,
    NotThere,
    Refused,
    RunFailed,
    RunKilled,
    TrackingUnreachable,
)
from container_backend.machine import __version__

__all__ = [
    "BuildError",
    "ContainerBackendError",
    "ContainerError",
    "EngineError",
    "EngineUnavailable",
    "ImageUnavailable",
    "InvalidConfig",
    "InvalidEnvironment",
    "InvalidInput",
    "InvalidProject",
    "NotRepeatable",
    "NotThere",
    "Refused",
    "RunFailed",
    "RunKilled",
    "TrackingUnreachable",
    "__version__",
    "attach",
    "build",
    "run",
]
