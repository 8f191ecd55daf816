"""The project on disk: fetched, read, checked, and packed for a container.

`MLproject`, entry points, parameters, the command line, and the code as an archive. The modules
that `share/runner_files.py` names are copied into project images; other rooms use this door.
This room knows no engine and no tracking store.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
