"""Notes of this user's runs on disk, and the start of the supervisor.

Each run that this machine started has an entry, with a lock that its client holds. Entries, not
labels of containers, decide what may be removed or finished.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
