"""This user's notes on disk about runs that go on, and the start of the supervisor.

An entry for each run that this machine started, with a lock that its client holds. Entries are
the authority over what may be removed or finished; labels of containers are not.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
