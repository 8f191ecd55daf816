"""What a program writes, from the engine to a person and to the disk.

Attaches before the start, spools every byte, masks secrets, and reads again from the engine's
log what a lost connection missed. It decides nothing about the status of a run.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
