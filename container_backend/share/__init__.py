"""Project images: images that run with Docker alone.

Builds the project image on the environment image, adds labels that describe the project, and
pushes or saves the image. `share/runner` is the program inside a project image.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
