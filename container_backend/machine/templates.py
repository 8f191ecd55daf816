"""The files of ``templates/``: Dockerfiles, the scripts of their steps, what is put into containers."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Final

_PACKAGE: Final = "container_backend.templates"


@functools.cache
def read_template(name: str) -> str:
    """The text of a file of ``templates/``, from a wheel or a checkout."""
    file = resources.files(_PACKAGE) / name
    return file.read_text(encoding="utf-8").replace("\r\n", "\n")
