"""Asks a tracking store, with this package's own types and errors.

By MLflow's client, or by a tracking proxy that serves the store already: then MLflow is not imported. All
undocumented parts of MLflow are in one module. The other rooms know what is written, and when.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
