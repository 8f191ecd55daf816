"""The tracking proxy: a process of this user that serves a store to programs of runs and to commands.

A program gets an address and a token, and neither a folder nor a login of the store. This room decides
how the process is started, how long a token is valid, and what a program may do with it.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
