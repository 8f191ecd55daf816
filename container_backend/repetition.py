"""What a run that repeats another takes from it, instead of finding it out anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container_backend.dockerfile import ImagePlan
    from container_backend.ready_image import ReadyImage
    from container_backend.recorded import RecordedCode


@dataclass(frozen=True)
class Repetition:
    """A run that was, as far as it can be had again.

    Attributes:
        run_id: Of that run.
        directory: Its code; None where that is what the submission's address says.
        temporary: The folder that was made for it; goes with the new run.
        image: Its image; None where it is to be found out from the code.
        code: What was written down of the code, where that is what is there.
        tags: For the new run.
        recorded: Names of the parameters whose values are those of that run.
        trusted: The user allows the new run what that run was allowed.
    """

    run_id: str
    directory: Path | None = None
    temporary: Path | None = None
    image: ImagePlan | ReadyImage | None = None
    code: RecordedCode | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    trusted: bool = False
