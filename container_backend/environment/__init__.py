"""The environment that a project declares: packages, a Python version, or a ready image.

`kinds.py` has a row for each kind of file: its reader and its template. A reader returns a
`Declared`; `specify` turns it into the `EnvironmentSpec` that is hashed. This room reads files
and never asks an engine or an index.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
