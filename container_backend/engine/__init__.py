"""The engine: where it is, what it can do, and everything that is asked of it.

`connect` gives an `Engine`: its `facts`, and verbs for its `containers` and its `images`.
The verbs give plain data and raise errors of ours (`EngineError`). No other room imports the
Docker SDK. It knows nothing about runs or projects.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
