"""The files of ``templates/``: Dockerfiles, scripts of their steps, files for containers."""

from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def read_template(name: str) -> str:
    """The text of a file of ``templates/``, from a wheel or a checkout."""
    return (resources.files("container_backend.templates") / name).read_text(encoding="utf-8")
