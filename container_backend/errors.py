"""The exception tree. Each error says what happened, where, and what to do about it.

::

    ContainerBackendError            1   anything below; catch this one
    ├── InvalidInput                 2   refused before anything was created or built
    │   ├── InvalidConfig            2   the backend config or a command line option
    │   ├── InvalidProject           2   the MLproject file, an entry point, a parameter
    │   ├── InvalidEnvironment       2   python_env.yaml, requirements.txt
    │   └── NotRepeatable            2   a part of the run to repeat is gone or has changed
    ├── EngineError                  1   the engine did not fulfil a request
    │   ├── EngineUnavailable        3   no engine answers, it went away, or it is too old
    │   └── Refused                  1   the engine answered with an error
    │       └── NotThere             1   the engine has no such container or image
    ├── TrackingUnreachable          4   the container could not reach the tracking store
    ├── ImageUnavailable             5   neither the engine nor the registry has the base image
    ├── BuildError                   6   the environment image could not be built
    ├── ContainerError               7   the container could not be created, filled or started
    └── RunFailed                    1   the program failed
        └── RunKilled              130   the run was cancelled

The number is the exit code of the command ``container-backend``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final

from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence


# Of a message, in characters: an input of any length may be quoted.
_MOST_SHOWN: Final = 10_000


def _shown(text: str) -> str:
    """Messages of a store, an index or git may contain addresses with passwords."""
    # An address that is cut in two is not recognised, so there is more than is kept.
    shown = without_credentials(text[: 2 * _MOST_SHOWN])
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"


class ContainerBackendError(Exception):
    """The base class of every error that this package raises on purpose.

    Args:
        message: What happened and where (file, key, line).
        remedy: What the user can do; one or more sentences.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        self.message = message = _shown(message)
        self.remedy = remedy = None if remedy is None else _shown(remedy)
        super().__init__(message if remedy is None else f"{message}\n{remedy}")


class InvalidInput(ContainerBackendError):
    """The caller's input is wrong; no run was created and no image was built."""

    exit_code = 2


class InvalidConfig(InvalidInput):
    """A backend config key, an option or a docker argument is wrong."""


class InvalidProject(InvalidInput):
    """The project, its MLproject file, an entry point or a parameter is wrong."""


class InvalidEnvironment(InvalidInput):
    """An environment file of the project is wrong."""


class NotRepeatable(InvalidInput):
    """A part of the run to repeat is gone or has changed."""


class EngineError(ContainerBackendError):
    """The engine did not fulfil a request."""


class EngineUnavailable(EngineError):
    """No engine answers, the engine went away, or the engine is too old."""

    exit_code = 3


class Refused(EngineError):
    """The engine answered with an error.

    Args:
        message: The engine's message.
        status: HTTP status; 0 if the engine's API version does not know the request.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)

    @property
    def is_conflict(self) -> bool:
        """True if the object is in use, or its removal is in progress."""
        return self.status == HTTPStatus.CONFLICT


class NotThere(Refused):
    """The engine has no such container, image, program or path."""


class TrackingUnreachable(ContainerBackendError):
    """A container on this engine could not reach the tracking or artifact store."""

    exit_code = 4


class ImageUnavailable(ContainerBackendError):
    """Neither the engine nor the registry has the base image."""

    exit_code = 5


class BuildError(ContainerBackendError):
    """The environment image could not be built."""

    exit_code = 6


class ContainerError(ContainerBackendError):
    """The container could not be created, filled or started."""

    exit_code = 7


class RunFailed(ContainerBackendError):
    """The program failed; the message and the run's tags show the exit code.

    Args:
        last_lines: The last lines of the program's output.
    """

    def __init__(self, message: str, *, last_lines: Sequence[str] = (), run_id: str = "") -> None:
        self.last_lines = tuple(last_lines)
        self.run_id = run_id
        shown = "\n".join(f"    {line}" for line in self.last_lines)
        super().__init__(
            message, remedy=f"The last lines of its output:\n{shown}" if shown else None
        )


class RunKilled(RunFailed):
    """The run was cancelled, by ``cancel()`` or by an interrupt."""

    exit_code = 130
