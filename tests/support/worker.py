"""What a worker of pytest-xdist has for itself, so that several share one engine.

All that a worker makes on an engine carries its label: its base image has it, an image inherits the
labels of its base, and a container those of its image. The layers of the bases are the same, so
what one worker has built is cached for the others; the environment hash is not.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from container_backend.image.buildkit.build import BuildRequest, build_image
from tests.support.client import client_of
from tests.support.projects import ROOT

if TYPE_CHECKING:
    from container_backend.engine import Engine

# The name of the default, on which the bases are built.
PUBLIC_BASE: Final = "python:3.11-slim"
_CHECKOUT: Final = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
_WORKER: Final = os.environ.get("PYTEST_XDIST_WORKER", "alone")
# From 0; of up to eight.
NUMBER: Final = int(_WORKER.removeprefix("gw")) % 8 if _WORKER.startswith("gw") else 0
NAME: Final = f"{_CHECKOUT}-{_WORKER}"
BASE: Final = f"container-backend-test/{NAME}:3.11"
_LABEL: Final = "container-backend-test.worker"


def mine(*labels: str) -> dict[str, list[str]]:
    """A filter for what this worker has on an engine, a new one for each call: the SDK adds to it."""
    return {"label": [f"{_LABEL}={NAME}", *labels]}


def make_base(engine: Engine) -> None:
    """Have the worker's base on an engine: the public one with a label."""
    public = client_of(engine).images.get(PUBLIC_BASE)
    for found in client_of(engine).images.list(BASE):
        if found.attrs["RootFS"] == public.attrs["RootFS"]:
            return
    dockerfile = f"FROM {PUBLIC_BASE}\nLABEL {_LABEL}={NAME}\n"
    request = BuildRequest(context={"Dockerfile": dockerfile.encode()}, tags=(BASE,))
    build_image(engine, request)
