"""The programs that the proxy serves, by their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_backend.runs.tracking.grants import Reached
from container_backend.runs.tracking.serving.program import Program

if TYPE_CHECKING:
    from container_backend.runs.tracking.grants import Grants
    from container_backend.runs.tracking.serving.roots import Roots
    from container_backend.runs.tracking.serving.served import Served


class Programs:
    """The programs whose runs go on."""

    def __init__(self, grants: Grants, store: Served, roots: Roots) -> None:
        self._grants = grants
        self._store = store
        self._roots = roots
        self._known: dict[str, Program] = {}

    def find(self, token: str) -> Program | None:
        """The program with a token; None if its run has ended, or the token is wrong."""
        grant = self._grants.find(token)
        if grant is None:
            return None
        known = self._known.get(grant.submission)
        if known is None or known.grant != grant:
            known = Program(grant, self._grants, self._store, self._roots)
            self._known[grant.submission] = known
            if grant.way:  # its container came by that
                Reached(grant.way).renew()
        return known

    async def end(self, submission: str) -> None:
        """Wait until what a program has asked for, whose grant has ended, is answered."""
        program = self._known.pop(submission, None)
        if program is not None:
            await program.end()

    def fence(self, submission: str) -> bool:
        """As :meth:`Program.fence`, for the run of a submission."""
        program = self._known.get(submission)
        return program is None or program.fence()

    def tidy(self) -> bool:
        """Forget the programs of runs that were finished. True if a run goes on."""
        going_on = self._grants.tidy()
        for submission in self._known.keys() - going_on:
            del self._known[submission]
        return bool(going_on)
