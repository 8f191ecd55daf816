"""The files of the runner in project images: copies of modules of this package.

So the runner checks, quotes and reports errors exactly as the backend does.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from container_backend.labels_and_tags import RUNNER_PROGRAM
from container_backend.machine import read_template

_PACKAGE: Final = "container_backend"
# Standard library only, Python 3.8: tests/unit/share/test_runner.py checks that.
SHARED_MODULES: Final = (
    "machine/log.py",
    "machine/text.py",
    "errors.py",
    "masking.py",
    "labels_and_tags.py",
    "project/command.py",
    "project/entry_points.py",
    "project/parameters.py",
)
_RUNNER: Final = "share/runner"
# In place of the package's own doors, which need libraries that the image lacks.
_EMPTY: Final = ("__init__.py", "machine/__init__.py", "project/__init__.py", "share/__init__.py")


def runner_files() -> dict[str, bytes]:
    """The files of the runner: path in its folder → content."""
    package = resources.files(_PACKAGE)
    own = sorted(each.name for each in (package / _RUNNER).iterdir() if each.name.endswith(".py"))
    modules = (*SHARED_MODULES, *(f"{_RUNNER}/{name}" for name in own))
    files = {
        RUNNER_PROGRAM: read_template(RUNNER_PROGRAM),
        **{f"{_PACKAGE}/{path}": "" for path in _EMPTY},
        **{f"{_PACKAGE}/{path}": (package / path).read_text("utf-8") for path in modules},
    }
    return {path: text.encode() for path, text in files.items()}
