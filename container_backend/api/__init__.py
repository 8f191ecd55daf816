"""The interfaces for programs: the Python functions and MLflow's plugin.

Both turn their arguments into a submission and hand it to the room `runs`. `import
container_backend` offers the functions of `python.py`; MLflow loads `backend.py` for
`--backend docker`. Neither decides anything about a run, and neither prints.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
