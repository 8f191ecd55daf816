"""What a project declares that it needs: packages, a Python version, a ready image.

`kinds.py` has a row for each kind of file: its reader and its template. A reader gives back what
is `Declared`; `specify` makes the `EnvironmentSpec` of it, which the hash is made of. This room
reads files and never asks an engine or an index.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
