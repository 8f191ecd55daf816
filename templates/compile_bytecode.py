"""compile_bytecode.py LOCK CACHE: give the packages that a lock names their bytecode.

It is compiled once for each package, and then taken from the folder CACHE. Files get one and the same
time, so that bytecode, which says of which time its source is, is the same in every image.

Modules of packages' own tests are left out: they are a third of all, and no run imports them.
"""

import concurrent.futures
import hashlib
import importlib.metadata
import importlib.util
import io
import marshal
import os
import re
import struct
import sys
import tarfile
import tempfile
from pathlib import Path

TESTS = {"test", "tests"}
# The first day that a zip archive can tell, in seconds since 1970.
TIME = 315532800


def files_of(name: str) -> list:
    """The files of an installed package; none where its marker says that it is not for here."""
    try:
        found = importlib.metadata.distribution(name).files or []
    except importlib.metadata.PackageNotFoundError:
        return []
    paths = [Path(file.locate()) for file in found]
    return [path for path in paths if path.is_file() and path.suffix != ".pyc"]


def key_of(name: str) -> str:
    """Changes with any file of the package (RECORD has their hashes), and with the interpreter."""
    record = importlib.metadata.distribution(name).read_text("RECORD") or ""
    told = [importlib.util.MAGIC_NUMBER.hex(), sys.implementation.cache_tag, sys.prefix, record]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def bytecode(source: Path) -> bytes:
    """As PEP 552 says, for a source of the one time; nothing for what is not Python of this version."""
    content = source.read_bytes()
    try:
        code = compile(content, str(source), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return b""
    header = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, TIME, len(content) & 0xFFFFFFFF)
    return header + marshal.dumps(code)


def pack(sources: list) -> bytes:
    """A tar of the bytecode of some sources."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for source in sources:
            if content := bytecode(source):
                target = importlib.util.cache_from_source(str(source))
                entry = tarfile.TarInfo(os.path.relpath(target, sys.prefix))
                entry.size, entry.mtime, entry.mode = len(content), TIME, 0o644
                tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def write(file: Path, content: bytes) -> None:
    """All of it or nothing: other builds may want the same file now."""
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as temporary:
        temporary.write(content)
    Path(temporary.name).replace(file)


def finish(name: str, cache: Path) -> tuple:
    """Bytecode for a package, and one time for its files: how many modules, how many compiled."""
    files = files_of(name)
    sources = [
        path
        for path in files
        if path.suffix == ".py" and not TESTS & {*path.relative_to(sys.prefix).parts}
    ]
    compiled = 0
    if sources:
        cached = cache / f"{key_of(name)}.tar"
        if not cached.is_file():
            compiled = len(sources)
            write(cached, pack(sources))
        with tarfile.open(cached) as tar:
            for entry in tar:
                target = Path(sys.prefix, entry.name)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(tar.extractfile(entry).read())
                os.utime(target, (TIME, TIME))
    for path in files:
        os.utime(path, (TIME, TIME))
    return len(sources), compiled


def main(lock: Path, cache: Path) -> None:
    names = re.findall(r'^name = "(.+)"$', lock.read_text(encoding="utf-8"), re.MULTILINE)
    # The biggest first, so that no core is left with one at the end.
    names.sort(key=lambda name: -len(files_of(name)))
    cache.mkdir(parents=True, exist_ok=True)
    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        done = list(pool.map(finish, names, [cache] * len(names)))
    modules, compiled = (sum(counts[place] for counts in done) for place in (0, 1))
    print(f"compiled {compiled} of {modules} modules of {len(names)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
