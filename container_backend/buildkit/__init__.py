"""BuildKit over the Engine API: a request, a session for its secrets, an account of its steps."""

from __future__ import annotations

from container_backend.buildkit.build import BuildRequest, build_image
from container_backend.buildkit.errors import BuildFailed
from container_backend.buildkit.session import BuildSession, RegistryCredentials
from container_backend.buildkit.trace import StepEvent

__all__ = [
    "BuildFailed",
    "BuildRequest",
    "BuildSession",
    "RegistryCredentials",
    "StepEvent",
    "build_image",
]
