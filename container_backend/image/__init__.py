"""Environment images: hashed, rendered as a Dockerfile, found, built, pulled, listed, removed.

An `EnvironmentSpec` becomes an image on the engine. `hash.py` decides which environments are the
same; `find.py` decides on the source of an image. `progress` and `buildkit` are rooms of their
own. This room never starts a container.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
