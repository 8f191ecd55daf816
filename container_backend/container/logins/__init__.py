"""The logins of artifact stores: what the client of each store reads on this machine.

The table is here, and nowhere else. Nothing here decides who gets a login.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
