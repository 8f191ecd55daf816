"""Git, asked about projects and their code: repositories, commits, what is fetched.

Every call of git is here. Git never runs a program that a repository names, and never reads a
repository's own configuration.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
