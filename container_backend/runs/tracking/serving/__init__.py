"""The process of the proxy: takes requests, asks the store, sends artifacts.

It also carries the connections of containers that do not reach this machine.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
