"""set_times.py FOLDER: give all in it one time, so that what is built twice is the same twice.

What has that time already is not touched: it may be of a layer beneath, and would be stored again. A
folder that has it is of such a layer, and no file was made in it since.
Bytecode that says of which time its source is (PEP 552) says the new time.
"""

import os
import struct
import sys

TIME = int(os.environ["SOURCE_DATE_EPOCH"])
_HEADER = struct.Struct("<4sIII")


def changed(folder: str):  # noqa: ANN201 an iterator
    """Path and time of all with another time, what is in a folder before it; links are not followed."""
    time = os.stat(folder).st_mtime
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from changed(entry.path)
            elif time != TIME:
                own = entry.stat(follow_symlinks=False).st_mtime
                if own != TIME:
                    yield entry.path, own
    if time != TIME:
        yield folder, time


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
    before = {path: int(time) & 0xFFFFFFFF for path, time in changed(folder)}
    for path in before:
        if path.endswith(".pyc") and os.path.basename(os.path.dirname(path)) == "__pycache__":
            set_time_in_bytecode(path, before)
    for path in before:
        os.utime(path, (TIME, TIME), follow_symlinks=False)


if __name__ == "__main__":
    main(sys.argv[1])
