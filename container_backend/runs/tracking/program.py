"""How the program of a run reaches its store: decided, and made ready."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from container_backend.container import (
    LOCALHOST,
    direct_access,
    local_path,
    served_access,
)
from container_backend.runs.tracking.gateway import gateway_of
from container_backend.runs.tracking.grants import Grant, handed_by
from container_backend.runs.tracking.reach import way_to
from container_backend.runs.tracking.serving import Forwarding
from container_backend.runs.tracking.start import proxy_of, served_by
from container_backend.store import ServedStore, await_listener, is_mlflow_at_hand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.container import TrackingAccess
    from container_backend.engine import Engine
    from container_backend.runs.ledger import Entry
    from container_backend.runs.tracking.start import Proxy
    from container_backend.store import Store, StoredRun


@dataclass(frozen=True)
class TrackingRequest:
    """What is asked for the way of a program to its store.

    Attributes:
        tracking_uri: Absolute.
        is_served: The program reaches its store by the proxy.
        way: What the user asked for, ``proxy`` or ``direct``; None for the default.
        is_own: The project may do what any client of the store may do.
        network: Of the container; None for the default.
        typed: The values of parameters that the user typed.
        starts_steps: The program may start steps, which it asks the proxy for.
    """

    tracking_uri: str
    is_served: bool
    way: str | None
    is_own: bool
    network: str | None
    typed: Sequence[str]
    starts_steps: bool = False


class ProgramTracking:
    """The way of a program to its store."""

    def __init__(self, engine: Engine, request: TrackingRequest) -> None:
        self._engine = engine
        self._request = request
        self._proxy: Proxy | None = None
        self._host: str | None = None
        self._was_started_here = False
        if request.is_served:
            self._take_proxy()

    def _take_proxy(self) -> Proxy:
        self._host = gateway_of(self._engine, self._request.network)
        self._proxy = proxy_of(self._request.tracking_uri)
        return self._proxy

    def open_store(self) -> Store:
        """The store of the run, through the proxy if that answers.

        Otherwise a command imports MLflow, opens the store, and starts the proxy after that: side by side,
        they would compete for the CPU. A program that connects before the proxy is ready waits. Another
        process, which goes on, waits for the proxy, and stays small.
        """
        proxy, uri = self._proxy, self._request.tracking_uri
        if proxy is not None and (served := served_by(proxy)):
            return served
        there = (path := local_path(uri)) is not None and path.exists()
        if proxy is not None and there and not is_mlflow_at_hand():
            self._was_started_here = self._start(proxy)
            proxy.wait()
            return ServedStore(uri, proxy)
        from container_backend.store import MlflowStore  # takes seconds

        await_listener(uri)
        store = MlflowStore(uri)
        if proxy is not None:
            self._was_started_here = self._start(proxy)
        return store

    def _start(self, proxy: Proxy) -> bool:
        """True if the proxy was not there. It may have ended meanwhile."""
        return proxy.start(*filter(None, [self._host]))

    @property
    def proxy(self) -> str:
        """The folder of the proxy, for the note of the run; empty without one."""
        return str(self._proxy.folder.path) if self._proxy else ""

    def access(self, location: str, run: StoredRun, entry: Entry, image: str) -> TrackingAccess:
        """The access for the program of a run, whose note is in the ledger.

        Args:
            location: Of the artifacts of the run's experiment.
            image: Of the program.

        Raises:
            TrackingUnreachable: The container cannot reach the store, or the proxy does not start.
            OSError: The disk is full.
        """
        proxy, is_here = self._proxy, local_path(location) is not None
        if proxy is None and not (is_here and self._request.way is None):
            direct = direct_access(self._request.tracking_uri, location, self._engine.facts)
            if not self._request.starts_steps:
                return direct
            host, port, token = self._admit(self._take_proxy(), run, entry, image)
            steps = (f"http://{host or LOCALHOST}:{port}", token)
            return replace(direct, steps=steps, forwarded_port=0 if host else port)
        proxy = proxy or self._take_proxy()  # the server has its artifacts on this machine's disk
        host, port, token = self._admit(proxy, run, entry, image)
        elsewhere = location if self._request.is_own and not is_here else None
        return served_access(host, port, token, elsewhere)

    def _admit(
        self, proxy: Proxy, run: StoredRun, entry: Entry, image: str
    ) -> tuple[str | None, int, str]:
        """Where the container reaches the proxy, if it does; the port; the token of the program."""
        if self._was_started_here:  # it listens there before it answers
            self._start(proxy)
            port = proxy.folder.port()
        else:
            port = proxy.listen(self._host or LOCALHOST)
        host, way = self._way(image, port)
        token = proxy.give(
            Grant(
                submission=entry.submission,
                # Without a note, as on a full disk, the grant ends with this process.
                note=str(entry.note) if entry.is_there else f"/proc/{os.getpid()}",
                run_id=run.run_id,
                experiment_id=run.experiment_id,
                is_own=self._request.is_own,
                handed=handed_by(self._request.typed),
                artifact_root=proxy.root,
                way=way,
                steps=str(entry.steps.path) if self._request.starts_steps else "",
            )
        )
        self._start(proxy)  # it may have ended just before it had a grant
        return host, port, token

    def _way(self, image: str, port: int) -> tuple[str | None, str]:
        """The address at which the container reaches the proxy, if any, and the way to that."""
        network, host = self._request.network, self._host
        if host is None or host == LOCALHOST:
            return host, ""
        way = way_to(self._engine, image, network, host, port, is_kept=self._request.is_own)
        return (None, "") if way is None else (host, way)

    def created(self, access: TrackingAccess, entry: Entry, container: str) -> None:
        """Carry the connections of a container that was created, if it does not reach the proxy."""
        if self._proxy is not None and access.forwarded_port:
            forwarding = Forwarding(self._engine.host, container)
            self._proxy.forward(entry.submission, forwarding)
