"""MLflow's tracking store: runs, experiments, artifacts, metrics.

Only this room and the plugin in `api/backend.py` import `mlflow`. This room decides how
artifacts of a run are named, and how tags and artifacts are read and written.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
