"""BuildKit over the Engine API: a build request, its session and its trace.

The session gives the engine secrets and registry logins over HTTP/2; the trace is decoded from
protocol buffers. This room knows nothing about environments.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
