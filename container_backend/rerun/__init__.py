"""Repeats and compares runs.

Reads the record of a run, makes a submission that repeats the run, plans to rebuild a missing
image from the recorded lock, and compares two runs. The room `runs` starts the new run.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
