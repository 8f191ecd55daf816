"""Who is trusted with what, and what a program is given: asked by all rooms above.

The tables decide; no other room keeps a list of what a project, a record or a label may do. Nothing
here asks an engine or a store.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
