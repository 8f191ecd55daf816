"""The display of a build: steps, packages, sizes, and hints for a failed build.

The events of a build become lines on a terminal or in a log, and the output of a failed step
becomes a hint. This room never changes what is built.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
