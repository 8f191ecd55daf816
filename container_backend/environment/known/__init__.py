"""What is known of packages by their names. Data, and pure functions of it.

Conda's packages and those of the Python index that are the same, and what old packages need of others
and do not say.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
