"""The output of a run's program, on its way from the engine to the terminal and to disk.

Attaches before the start, writes every byte to a file, masks secrets, and reads from the engine's
log what a lost connection missed. The status of a run is not decided here.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
