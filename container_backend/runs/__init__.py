"""A run: planned from what was asked, launched, followed, found again.

`Submission` is what is asked, `Plan` is what was checked, `launch` makes it happen, `ContainerRun`
is the handle that callers get. How a run ends, its output, the notes on disk and the supervisor
have rooms of their own inside. Rooms below never import this one.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
