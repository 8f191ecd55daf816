"""Importing MLflow without the libraries for data, in a process that has no data.

What this package uses of MLflow is in mlflow-skinny too, which comes without them. MLflow imports
them where they are; that takes a fifth of the time before a container starts (docs/measurements.md).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# What MLflow needs beyond mlflow-skinny, except for its tracking stores.
_LIBRARIES: Final = ("matplotlib", "numpy", "pandas", "pyarrow", "scipy", "sklearn")


def leave_out() -> None:
    """Have the libraries look as if they were not installed; for the command's own process only."""
    _leave_out(_LIBRARIES)


def leave_out_ssh() -> None:
    """The same for what the docker SDK needs for engines that are reached over ssh: 25 MB."""
    _leave_out(("paramiko",))


def _leave_out(names: Iterable[str]) -> None:
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # importing it is an ImportError


def bring_back() -> None:
    """Undo :func:`leave_out`, for what may need them after all."""
    for name in _LIBRARIES:
        if name in sys.modules and sys.modules[name] is None:
            del sys.modules[name]
