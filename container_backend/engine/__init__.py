"""The Docker engine: where it is, what it can do, and everything that is asked of it.

The only room that imports the Docker SDK, except for the build session of `image/buildkit`.
It knows containers, images and events in general, and nothing about runs or projects.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
