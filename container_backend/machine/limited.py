"""Calls a function on input of others in a process of its own, within limits of time and memory.

``python -m container_backend.machine.limited MODULE FUNCTION SECONDS BYTES`` is that process: it reads the argument
from its standard input, and writes the answer to its standard output, both as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.errors import ContainerBackendError, InvalidConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS: Final = 10
_MEMORY_BYTES: Final = 1024**3
# The exit code of a function that needs more.
_TOO_BIG: Final = 66
# How many files may come out of an archive or a repository.
MOST_FILES: Final = 1_000_000


def call_limited(module: str, function: str, argument: object, what: str) -> Any:  # noqa: ANN401
    """Call a function of this package with a JSON value, and return its JSON answer.

    Args:
        what: The input, for messages.

    Raises:
        InvalidConfig: The function raised a ContainerBackendError, or exceeded the limits.
    """
    done = subprocess.run(  # noqa: S603 words of ours
        [sys.executable, "-m", __name__, module, function, str(_SECONDS), str(_MEMORY_BYTES)],
        input=json.dumps(argument),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd="/",
        env=module_variables(os.environ),
        check=False,
    )
    if done.returncode in {-signal.SIGXCPU, -signal.SIGKILL, _TOO_BIG}:
        raise InvalidConfig(
            f"{what}: it takes more than {_SECONDS} s or {_MEMORY_BYTES // 1024**2} MB to read."
        )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise InvalidConfig(f"{what}: it cannot be read: {said[-1]}")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise InvalidConfig(answer["error"])
    return answer["value"]


def module_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for ``python -m`` of a module of this package, with ``cwd="/"``.

    In another folder, a file of a project could stand for any module: Python looks there first.
    """
    package = str(Path(__file__).parents[2])
    given = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    path = [package, *(each for each in given if Path(each).is_absolute())]
    return {**environ, "PYTHONPATH": os.pathsep.join(path)}


def main() -> None:
    """Read, call, answer. The kernel ends the process at a limit."""
    module, function, seconds, memory = sys.argv[1:]
    call = getattr(importlib.import_module(module), function)
    argument = json.load(sys.stdin)
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory)):
        with suppress(ValueError, OSError):  # macOS has no limit of memory
            resource.setrlimit(kind, (int(most), int(most)))
    try:
        answer = {"value": call(argument)}
    except ContainerBackendError as error:
        answer = {"error": error.message}
    except MemoryError:
        sys.exit(_TOO_BIG)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()


def most_unpacked(packed: int) -> int:
    """How many bytes of files may come out of an archive or a repository of a size.

    A gigabyte, or a hundred times its size: text compresses to a tenth, only zeros to a thousandth.
    """
    return max(1024**3, 100 * packed)
