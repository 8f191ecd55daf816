"""The files of the runner in project images: modules of this package, word for word.

The backend and the runner check, quote and say the same, because it is the same code.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from container_backend.template import read_template

_PACKAGE: Final = "container_backend"
# Standard library only, Python 3.8: tests/unit/test_runner.py sees to it.
SHARED_MODULES: Final = (
    "command.py",
    "console_log.py",
    "entry_points.py",
    "errors.py",
    "masking.py",
    "names.py",
    "parameters.py",
    "usage.py",
)
_RUNNER_MODULES: Final = (
    "__init__.py",
    "arguments.py",
    "downloads.py",
    "main.py",
    "process.py",
    "results.py",
)
PROGRAM: Final = "runner.py"


def runner_files() -> dict[str, bytes]:
    """Path in the runner's folder → content."""
    package = resources.files(_PACKAGE)
    files = {
        PROGRAM: read_template(PROGRAM),
        # Not the package's own, which imports all of it.
        f"{_PACKAGE}/__init__.py": "",
        **{f"{_PACKAGE}/{name}": (package / name).read_text("utf-8") for name in SHARED_MODULES},
        **{
            f"{_PACKAGE}/runner/{name}": (package / "runner" / name).read_text("utf-8")
            for name in _RUNNER_MODULES
        },
    }
    return {path: text.encode() for path, text in files.items()}
