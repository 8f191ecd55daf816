"""Shared libraries without any code: a header that says what they need."""

from __future__ import annotations

import struct

_BASE = 0x400000


def shared_library(*needed: str) -> bytes:
    """A 64-bit ELF file whose dynamic section needs some libraries."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    offsets = [names.index(b"\0" + name.encode() + b"\0") + 1 for name in needed]
    at_names = 64 + 2 * 56
    at_dynamic = at_names + len(names)
    entries = [(1, offset) for offset in offsets]  # DT_NEEDED
    entries += [(5, _BASE + at_names), (10, len(names)), (0, 0)]  # DT_STRTAB, DT_STRSZ, DT_NULL
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    total = at_dynamic + len(dynamic)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, _BASE, _BASE, total, total, 0x1000)
    place = _BASE + at_dynamic
    dyn = struct.pack("<IIQQQQQQ", 2, 4, at_dynamic, place, place, len(dynamic), len(dynamic), 8)
    return header + load + dyn + names + dynamic
