"""The exception tree. Each error says what happened, where, and what to do about it.

::

    ContainerBackendError            1   anything below; catch this one
    ├── InvalidInput                 2   refused before anything was created or built
    │   ├── InvalidConfig            2   the backend config or a command line option
    │   ├── InvalidProject           2   the MLproject file, an entry point, a parameter
    │   ├── InvalidEnvironment       2   python_env.yaml, requirements.txt
    │   └── NotRepeatable            2   something of a run that is to be repeated is gone
    ├── EngineError                  1   an engine did not do what it was asked for
    │   ├── EngineUnavailable        3   no engine answers, it went away, or it is too old
    │   └── Refused                  1   the engine answered, and its answer is an error
    │       └── NotThere             1   the engine has no such container or image
    ├── TrackingUnreachable          4   the container could not reach the tracking store
    ├── ImageUnavailable             5   a base image that is neither here nor in its registry
    ├── BuildError                   6   the environment image could not be built
    ├── ContainerError               7   the container could not be created, filled or started
    └── RunFailed                    1   the program ended, and not well
        └── RunKilled              130   the run was cancelled

The number is the exit code of the command ``container-backend``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence


class ContainerBackendError(Exception):
    """The base class of every error that this package raises on purpose.

    Args:
        message: What happened and where (file, key, line).
        remedy: What to do about it; a sentence, or several lines.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        # What a store, an index or git said may have an address in it, and that a password.
        self.message = message = without_credentials(message)
        self.remedy = remedy = None if remedy is None else without_credentials(remedy)
        super().__init__(message if remedy is None else f"{message}\n{remedy}")


class InvalidInput(ContainerBackendError):
    """Something the caller gave is wrong. No run was created, nothing was built."""

    exit_code = 2


class InvalidConfig(InvalidInput):
    """A backend config key, an option or a docker argument is wrong."""


class InvalidProject(InvalidInput):
    """The project, its MLproject file, an entry point or a parameter is wrong."""


class InvalidEnvironment(InvalidInput):
    """An environment file of the project is wrong."""


class NotRepeatable(InvalidInput):
    """What a run was made of cannot be had any more, or is not what it was."""


class EngineError(ContainerBackendError):
    """An engine did not do what it was asked for."""


class EngineUnavailable(EngineError):
    """No engine answers, it went away, or it cannot do what every run needs."""

    exit_code = 3


class Refused(EngineError):
    """The engine answered, and its answer is an error.

    Args:
        message: What the engine said.
        status: Of HTTP; 0 for a request that the engine's version of the API does not know.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)

    @property
    def is_conflict(self) -> bool:
        """True where something is in use, or its removal is in progress."""
        return self.status == 409  # noqa: PLR2004 of HTTP


class NotThere(Refused):
    """The engine has no such container, image, program or path."""


class TrackingUnreachable(ContainerBackendError):
    """A container on this engine could not reach the tracking or artifact store."""

    exit_code = 4


class ImageUnavailable(ContainerBackendError):
    """A base image is neither on the engine nor to be had from its registry."""

    exit_code = 5


class BuildError(ContainerBackendError):
    """The environment image could not be built."""

    exit_code = 6


class ContainerError(ContainerBackendError):
    """The container could not be created, filled or started."""

    exit_code = 7


class RunFailed(ContainerBackendError):
    """The program in the container failed. Its exit code is in the message and the run's tags.

    Args:
        message: Which run, and why.
        last_lines: Of the program's output.
        run_id: Of the run.
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
