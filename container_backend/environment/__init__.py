"""What a project declares that it needs: packages, a Python version, a ready image.

Each kind of file has a reader: `python_env.yaml`, `conda.yaml`, `requirements.txt`,
`pyproject.toml`, `docker_env`. All of them end in one `EnvironmentSpec`, which the hash is
made of. This room reads files and never asks an engine or an index.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
