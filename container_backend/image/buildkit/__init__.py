"""BuildKit over the Engine API: a build request, its session and its trace.

Speaks HTTP/2 with the engine for secrets and registry logins, and decodes the trace of a build.
It knows nothing about environments, and depends on nothing else in this package but files.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
