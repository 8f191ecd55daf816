"""The parts of the Docker SDK that this package uses, imported without paramiko.

The SDK imports paramiko, and what that needs, for engines over ssh alone: 0.09 of 0.19 s of CPU in each
process of this package.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

_SSH: Final = "paramiko"


class _Later(ModuleType):
    """Stands for a module, which is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 whatever the module has
        return getattr(importlib.import_module(self.__name__), name)


_is_needed = _SSH not in sys.modules and find_spec(_SSH) is not None
if _is_needed:
    sys.modules[_SSH] = _Later(_SSH)
try:
    from docker import APIClient, auth
    from docker.context import ContextAPI
    from docker.errors import APIError, DockerException, NotFound, StreamParseError
    from docker.tls import TLSConfig
    from docker.utils import parse_bytes, parse_repository_tag, version_lt
    from docker.utils.json_stream import json_stream
finally:
    if _is_needed:
        del sys.modules[_SSH]

__all__ = [
    "APIClient", "APIError", "ContextAPI", "DockerException", "NotFound",
    "StreamParseError", "TLSConfig", "auth", "json_stream", "parse_bytes",
    "parse_repository_tag", "version_lt",
]  # fmt: skip
