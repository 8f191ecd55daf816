"""Projects handed on: an image that runs with Docker alone, and files that hold images.

Builds the project image on the environment image, labels it with what a reader needs, pushes
or saves it. The program inside such an image is `share/runner`.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
