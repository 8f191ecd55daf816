"""Starts processes of ours in the background, which a shell starts again when they are killed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from container_backend.machine.limited import module_variables
from container_backend.machine.locks import open_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Not one that ended by itself.
_AGAIN: Final = 'until "$@"; do sleep {pause:g}; done'
_MOST_LOG_BYTES: Final = 1024 * 1024


def start_in_background(
    module: str,
    arguments: Sequence[str],
    log: Path,
    environ: Mapping[str, str],
    *,
    pause: float,
    descriptors: Sequence[int] = (),
) -> None:
    """Start a module of this package, which outlives this process, without this process's run.

    Args:
        log: Takes the output; a long one is moved aside.
        environ: The variables of the process.
        pause: Seconds before it is started again.
        descriptors: Handed on to the process.

    Raises:
        OSError: The log cannot be written, or there are too many processes.
    """
    if log.exists() and log.stat().st_size > _MOST_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    words = [sys.executable, "-m", module, *arguments]
    with open_private(log, "ab") as output:
        log.chmod(0o600)  # older versions made it readable by all users
        subprocess.Popen(  # noqa: S603 words of ours
            ["/bin/sh", "-c", _AGAIN.format(pause=pause), "sh", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_environment(environ),
            start_new_session=True,
            pass_fds=descriptors,
        )


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of this process without its run, and this installation of the package."""
    kept = {name: value for name, value in environ.items() if name != "MLFLOW_RUN_ID"}
    return {**module_variables(kept), "PYTHONUNBUFFERED": "1"}
