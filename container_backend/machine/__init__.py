"""This machine: its files, its terminal, its signals.

Reads, locks, hashes and writes files whole or not at all; log lines, tables and sizes in words;
what Ctrl-C means. The ground floor: nothing here knows what a run, an image or an engine is.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
