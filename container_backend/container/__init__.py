"""The container of a run: what it is made of, how it is made, what became of it.

`ContainerSpec` says what to make, `create_container` makes it, `RunContainer` is the engine's
description of it, `Outcome` is what its end means for the run. This room talks to the engine
and never to the tracking store.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
