"""The rules of the proxy.

They say what a program may ask of a store, and which addresses it sees.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
