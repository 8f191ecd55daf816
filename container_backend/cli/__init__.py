"""The command `container-backend`: one module for each group of commands.

The only room that prints and that ends the process. A command reads its options, calls one
function of another room and shows the result, as a table or as JSON. Commands import MLflow and
the engine in their functions, so that help and completion are quick.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
