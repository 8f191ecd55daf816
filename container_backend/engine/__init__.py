"""The engine: its address, its facts and all requests to it.

`connect` returns an `Engine` with `facts` and with verbs for `containers` and `images`. The verbs
return plain data and raise `EngineError`. Only this room imports the Docker SDK. This room knows no
runs and no projects.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
