"""This machine: files, locks, log lines, tables and signals.

The lowest room: no module here knows runs, images or engines.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
