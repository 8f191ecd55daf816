"""set_times.py FOLDER: give all in it one time, so that what is built twice is the same twice.

What has that time already is not touched: it may be of a layer beneath, and would be stored again.
Bytecode that says of which time its source is (PEP 552) says the new time.
"""

import os
import struct
import sys

TIME = int(os.environ["SOURCE_DATE_EPOCH"])
_HEADER = struct.Struct("<4sIII")


def entries(folder: str):  # noqa: ANN201 an iterator of os.DirEntry
    """All in a folder, what is in a folder before the folder itself; links are not followed."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from entries(entry.path)
            yield entry


def set_time_in_bytecode(path: str, before: dict) -> None:
    """Bytecode that was valid stays valid."""
    with open(path, "r+b") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return
        magic, flags, time, size = _HEADER.unpack(header)
        folder, name = os.path.split(path)
        source = os.path.join(os.path.dirname(folder), name.split(".")[0] + ".py")
        if flags == 0 and before.get(source) == time:
            file.seek(0)
            file.write(_HEADER.pack(magic, flags, TIME, size))


def main(folder: str) -> None:
    before = {}
    for entry in entries(folder):
        found = entry.stat(follow_symlinks=False).st_mtime
        if found != TIME:
            before[entry.path] = int(found) & 0xFFFFFFFF
    for path in before:
        if path.endswith(".pyc") and os.path.basename(os.path.dirname(path)) == "__pycache__":
            set_time_in_bytecode(path, before)
    for path in before:
        os.utime(path, (TIME, TIME), follow_symlinks=False)
    if os.stat(folder).st_mtime != TIME:
        os.utime(folder, (TIME, TIME))


if __name__ == "__main__":
    main(sys.argv[1])
