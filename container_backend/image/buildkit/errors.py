"""The error of a build."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class BuildFailed(Exception):
    """The engine could not build an image.

    Attributes:
        message: The engine's words, without secrets.
        step: The name of the failed step; None if the build failed outside of a step.
        output: The last lines of that step, without secrets.
    """

    message: str
    step: str | None = None
    output: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.message
