"""MLflow's tracking store: runs, experiments, artifacts, metrics.

The only room that imports `mlflow`, together with the plugin in `api/backend.py`. What a run's
tags and artifacts are called and how they are read is decided here.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
