"""The environment image: its hash, its Dockerfile, found, built, pulled, listed, removed.

From an `EnvironmentSpec` to an image that is on the engine. `hash.py` decides what makes two
environments the same; `find.py` decides where an image comes from. Progress and BuildKit have
rooms of their own inside. This room never starts a container of a run.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
