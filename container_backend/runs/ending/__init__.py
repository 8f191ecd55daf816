"""The end of a run: when it has ended, when it is retried, what is written.

The client, the supervisor and `wait` share these functions, so that all of them decide and write
the same.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
