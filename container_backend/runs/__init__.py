"""A run: planned, launched, followed, and found again.

`Submission` is a request, `Plan` is a checked request, `launch` carries it out, `ContainerRun` is
the handle for callers. The end of a run, its output, its notes on disk and the supervisor have
rooms of their own inside.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
