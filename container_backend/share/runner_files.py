"""The files of the runner in project images: modules of this package, word for word.

The backend and the runner check, quote and say the same, because it is the same code.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from container_backend.labels_and_tags import RUNNER_PROGRAM
from container_backend.machine import read_template

_PACKAGE: Final = "container_backend"
# Standard library only, Python 3.8: tests/unit/share/test_runner.py sees to it.
SHARED_MODULES: Final = (
    "machine/log.py",
    "errors.py",
    "masking.py",
    "labels_and_tags.py",
    "project/command.py",
    "project/entry_points.py",
    "project/parameters.py",
)
_RUNNER_MODULES: Final = (
    "share/runner/__init__.py",
    "share/runner/arguments.py",
    "share/runner/downloads.py",
    "share/runner/main.py",
    "share/runner/process.py",
    "share/runner/results.py",
)
# Not the package's own doors, which need libraries that are not in the image.
_EMPTY: Final = ("__init__.py", "machine/__init__.py", "project/__init__.py", "share/__init__.py")


def runner_files() -> dict[str, bytes]:
    """Path in the runner's folder → content."""
    package = resources.files(_PACKAGE)
    modules = (*SHARED_MODULES, *_RUNNER_MODULES)
    files = {
        RUNNER_PROGRAM: read_template(RUNNER_PROGRAM),
        **{f"{_PACKAGE}/{path}": "" for path in _EMPTY},
        **{f"{_PACKAGE}/{path}": (package / path).read_text("utf-8") for path in modules},
    }
    return {path: text.encode() for path, text in files.items()}
