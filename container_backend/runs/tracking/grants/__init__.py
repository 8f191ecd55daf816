"""What the proxy and the processes of the user share on disk.

That is a folder for each store, with a socket, the port, and a grant for each run.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
