"""The container of a run: its specification, creation, state and end.

`create_container` creates a container from a `ContainerSpec`. `RunContainer` is an inspected
container. `Outcome` is the status and the reason of an ended run. This room talks to the engine and
never to the tracking store.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
