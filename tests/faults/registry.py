"""The faults by their names."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tests.faults.stage import Expected, Stage

    Fault = Callable[[Stage, random.Random], Expected]


@dataclass(frozen=True)
class Described:
    """A fault.

    Attributes:
        name: In words, for the table.
        kind: What fails. `make test` makes the first of each kind, `make test-all` all of them.
        make: Lets it happen.
        engine: The options of an engine of its own; None where the machine's will do.
        runs: How many runs there are.
        server: Whether the store is behind a server.
        check: Looks at the store afterwards; raises AssertionError.
    """

    name: str
    kind: str
    make: Fault
    engine: dict[str, bool] | None = None
    runs: int = 1
    server: bool = False
    check: Callable[[Stage], None] = lambda _: None


FAULTS: Final[dict[str, Described]] = {}


def fault(name: str, kind: str, **more: object) -> Callable[[Fault], Fault]:
    """Put a function into ``FAULTS``."""

    def register(make: Fault) -> Fault:
        FAULTS[name] = Described(name, kind, make, **more)
        return make

    return register


def variants(
    name: str, kind: str, places: Sequence[str], **more: object
) -> Callable[[Callable[..., Expected]], None]:
    """One fault for each place, which the function is given besides."""

    def register(make: Callable[..., Expected]) -> None:
        for place in places:
            where = place.replace("container_backend.", "").replace(":", " ")
            fault(f"{name} {where}", kind, **more)(functools.partial(make, place=place))

    return register
