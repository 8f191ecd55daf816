"""The two doors for programs: the Python interface and MLflow's plugin.

Both make a submission of what their caller gave and hand it to the room `run`.
`python.py` is what `import container_backend` offers; `backend.py` is what MLflow loads for
`--backend docker`. Neither decides anything about a run, and neither prints.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
