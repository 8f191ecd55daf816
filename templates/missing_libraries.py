"""missing_libraries.py ENVIRONMENT [packages]: name shared libraries that packages need and nothing provides.

A package of the Python index brings along what it needs, but for what its authors take for granted,
which a small base image lacks. With ``packages``, only the Debian packages are printed.
"""

import os
import re
import struct
import sys
from pathlib import Path

LIBRARY = re.compile(r"\.so(\.\d+)*$")
# Of a driver or a toolkit of the machine: another layer, or the engine, brings them.
OF_DRIVERS = re.compile(r"lib(cuda|nvidia|nvcuvid|nvrtc|nccl|amdhip|hip|roc|tpu|hsa)")
# Named by auditwheel: nothing but their own package has them.
BUNDLED = re.compile(r"-[0-9a-f]{8}\.so")
# Parts that are for some machines only: plugins for networks of clusters.
OPTIONAL = ("/site-packages/nvidia/", "/site-packages/triton/")
FOLDERS = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")
HEADER_SIZE, MAGIC, IS_64, LITTLE = 64, b"\x7fELF", 2, 1
PT_LOAD, PT_DYNAMIC, DT_NEEDED, DT_STRTAB = 1, 2, 1, 5


def is_library(name: str) -> bool:
    return LIBRARY.search(name) is not None


def files_in(folder: str) -> list:
    return [
        os.path.join(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if is_library(name)
    ]


def needed_by(file: str) -> list:
    """What a shared library needs, as its dynamic section says; nothing of what is not one.

    https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html
    """
    with open(file, "rb") as opened:
        header = opened.read(HEADER_SIZE)
        if (
            len(header) < HEADER_SIZE
            or header[:4] != MAGIC
            or header[4] != IS_64
            or header[5] != LITTLE
        ):
            return []
        start, size, count = struct.unpack_from("<Q", header, 32) + struct.unpack_from(
            "<HH", header, 54
        )
        opened.seek(start)
        table = opened.read(size * count)
        loads, dynamic = [], None
        for place in range(0, size * count, size):
            kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", table, place)
            if kind == PT_LOAD:
                loads.append((address, offset, length))
            elif kind == PT_DYNAMIC:
                dynamic = (offset, length)
        if dynamic is None:
            return []
        opened.seek(dynamic[0])
        content = opened.read(dynamic[1])
        entries = list(struct.iter_unpack("<QQ", content[: len(content) // 16 * 16]))
        address = next((value for tag, value in entries if tag == DT_STRTAB), None)
        begin = next(
            (address - at + offset for at, offset, length in loads
             if address is not None and at <= address < at + length),
            None,
        )  # fmt: skip
        if begin is None:
            return []
        names = []
        for tag, value in entries:
            if tag == DT_NEEDED:
                opened.seek(begin + value)
                names.append(opened.read(256).partition(b"\0")[0].decode("utf-8", "replace"))
        return names


def missing_in(environment: str) -> dict:
    """Library → the first package that needs it."""
    own = sorted(files_in(environment))
    bases = (*FOLDERS, os.path.join(sys.base_prefix, "lib"))
    there = {os.path.basename(file) for folder in bases for file in files_in(folder)}
    there |= {os.path.basename(file) for file in own}
    found = {}
    for file in own:
        if os.path.islink(file) or any(part in file for part in OPTIONAL):
            continue
        try:
            needed = needed_by(file)
        except (OSError, struct.error, ValueError, OverflowError, MemoryError):
            continue  # not what its name says
        for name in needed:
            is_ours = name.startswith("ld-") or OF_DRIVERS.match(name) or BUNDLED.search(name)
            if name not in there and not is_ours:
                found.setdefault(name, package_of(file))
    return dict(sorted(found.items()))


def package_of(file: str) -> str:
    return file.partition("site-packages/")[2].partition("/")[0] or os.path.basename(file)


def debian_packages() -> dict:
    """Library → Debian package."""
    text = Path(__file__).with_name("libraries.txt").read_text(encoding="utf-8")
    return dict(line.split() for line in text.splitlines())


def main(environment: str, *words: str) -> None:
    missing, known = missing_in(environment), debian_packages()
    packages = sorted({known[name] for name in missing if name in known})
    if words:
        print(*packages)
    elif missing:
        listed = ", ".join(f"{name} (for {package})" for name, package in missing.items())
        advice = (
            f' Put {" ".join(packages)} into apt.txt, or set "system_packages": "auto" in the backend '
            "config."
            if packages
            else ""
        )
        print(f"The image lacks shared libraries: {listed}.{advice}")


if __name__ == "__main__":
    main(*sys.argv[1:])
