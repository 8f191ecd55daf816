"""Requests about networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from container_backend.engine.api import asking

if TYPE_CHECKING:
    from container_backend.engine.api import Connection


class Networks:
    """The networks of an engine. Errors are those of :class:`Containers`."""

    def __init__(self, connection: Connection) -> None:
        self._api = connection.questions

    @asking()
    def inspect(self, network: str) -> dict[str, Any]:
        return dict(self._api.inspect_network(network))
