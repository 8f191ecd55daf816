"""A run whose program will not go on: what is known of it, and how it ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from container_backend import state
from container_backend.state import Outcome, Signs, outcome_of

if TYPE_CHECKING:
    from container_backend.run_container import RunContainer


@dataclass(frozen=True)
class Ending:
    """A run whose program will not go on, as far as it is known.

    Attributes:
        run_id: Of the run.
        container: Its container as it was seen last; None where it was never seen.
        is_gone: Whether there is no container any more.
        signs: What else was seen of it.
        attempts: How many times the program was started.
    """

    run_id: str
    container: RunContainer | None
    is_gone: bool = False
    signs: Signs = field(default_factory=Signs)
    attempts: int = 1

    @property
    def there(self) -> RunContainer | None:
        """The container, where there still is one."""
        return None if self.is_gone else self.container


def outcome_at(ending: Ending, *, was_created: bool = True) -> Outcome:
    """How a run ended.

    Args:
        ending: What is known.
        was_created: Whether there ever was a container.
    """
    found = ending.there
    if found is not None:
        return outcome_of(
            found.state, ending=found.ending, signs=ending.signs, timeout=found.timeout
        )
    if not was_created:
        return state.NEVER_CREATED
    last = ending.container
    return state.removed(last.ending if last else "", last.timeout if last else None)
