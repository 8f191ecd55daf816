"""Steps: runs that the program of another run, the driver, starts beside its container.

The launcher in the container asks the tracking proxy; a process of the driver, started with it, plans each
step and runs it as a run of its own, with no more rights than its driver.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
