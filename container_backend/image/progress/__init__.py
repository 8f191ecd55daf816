"""A build as people see it: steps, packages, sizes, and what to do when it fails.

Turns the trace of a build into lines on a terminal or in a log, and the output of a failed step
into a hint. It never changes what is built.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
