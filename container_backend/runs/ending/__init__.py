"""The end of a run: whether it has ended, whether it is tried again, what is written.

A client, the supervisor and `wait` all ask `decide` what is next for a run, and end runs with the
functions of this room, so that each of them does and writes the same.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
