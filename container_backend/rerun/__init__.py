"""Runs that are repeated or compared.

Reads what was recorded of a run, makes a submission that repeats it, rebuilds its image from
the recorded lock where the image is gone, and says what is the same. Starting the new run is
the business of the room `run`.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
