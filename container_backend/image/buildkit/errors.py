"""What may go wrong with a build."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class BuildFailed(Exception):
    """The engine could not build an image.

    Attributes:
        message: What the engine said; no secret is in it.
        step: The name of the step that failed, where it was one.
        output: The last lines that the step printed; no secret is in them.
    """

    message: str
    step: str | None = None
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The message alone."""
        return self.message


class SessionRefused(Exception):
    """The engine does not open a build session."""
