"""compile_bytecode.py ENVIRONMENT CACHE LOCK…: give the packages that locks name their bytecode.

It is compiled once for each package, and then taken from the folder CACHE, which other builds use:
there, bytecode goes by the content of its sources, not by what a package says of itself. Files get one and the same
time, so that bytecode, which says of which time its source is, is the same in every image.

Modules of packages' own tests are left out, and pip: they are a third of all, and no run imports
them. A file that more than one package brings along (mlflow, mlflow-skinny) is compiled once.
"""

import collections
import concurrent.futures
import csv
import gc
import hashlib
import importlib.metadata
import importlib.util
import marshal
import os
import re
import struct
import sys
import tempfile
import warnings
from pathlib import Path

LEFT_OUT = {"test", "tests", "pip"}
# The first day that a zip archive can tell, in seconds since 1970.
TIME = 315532800


def records(environment: Path) -> dict:
    """Normalised name → (path, hash) of each file, of all packages that are installed.

    The hash, of the package's own list, is empty where there is none, or where packages disagree.
    """
    found = {}
    folders = [
        str(folder)
        for folder in environment.glob("lib/python*/site-packages")
        if not folder.parent.is_symlink()
    ]
    for distribution in importlib.metadata.distributions(path=folders):
        text = distribution.read_text("RECORD")
        name = distribution.metadata["Name"]
        if text and name:
            root = str(distribution.locate_file(""))
            rows = [
                (os.path.normpath(os.path.join(root, row[0])), row[1])
                for row in csv.reader(text.splitlines())
                if len(row) > 1
            ]
            found[re.sub(r"[-_.]+", "-", name).lower()] = rows
    hashes = {row for rows in found.values() for row in rows}
    told = collections.Counter(path for path, _ in hashes)
    return {
        name: [(path, digest if told[path] == 1 else "") for path, digest in rows]
        for name, rows in found.items()
    }


def sources_of(environment: Path, rows: list, known: set) -> list:
    """The paths to compile: of modules in the environment, without those that are known already."""
    return [
        path
        for path, digest in rows
        if path.endswith(".py")
        and (path, digest) not in known
        and path.startswith(f"{environment}/")
        and not LEFT_OUT & set(path[len(str(environment)) :].split("/"))
        and os.path.isfile(path)
    ]


def key_of(sources: list) -> str:
    """Changes with the path or the content of any file, and with the interpreter."""
    told = [importlib.util.MAGIC_NUMBER.hex(), sys.implementation.cache_tag]
    for path in sources:
        told += [path, hashlib.sha256(Path(path).read_bytes()).hexdigest()]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def bytecode(source: str) -> bytes:
    """As PEP 552 says, for a source of the one time; nothing for what is not Python of this version."""
    content = Path(source).read_bytes()
    try:
        code = compile(content, source, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return b""
    header = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, TIME, len(content) & 0xFFFFFFFF)
    return header + marshal.dumps(code)


def write(file: Path, content: bytes) -> None:
    """All of it or nothing: other builds may want the same file now."""
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as temporary:
        temporary.write(content)
    Path(temporary.name).replace(file)


def finish(rows: list, sources: list, cache: Path) -> int:
    """Bytecode for the sources of a package, and one time for all of its files.

    Returns:
        How many modules were compiled; none where their bytecode is in the cache.
    """
    cached = cache / key_of(sources)
    is_new = bool(sources) and not cached.is_file()
    if is_new:
        write(cached, marshal.dumps([(path, bytecode(path)) for path in sources]))
    for path, content in marshal.loads(cached.read_bytes()) if sources else ():
        if content:
            target = importlib.util.cache_from_source(path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            Path(target).write_bytes(content)
            os.utime(target, (TIME, TIME))
    for path, _ in rows:
        if os.path.isfile(path):
            os.utime(path, (TIME, TIME))
    return len(sources) if is_new else 0


def main(environment: Path, cache: Path, *locks: Path) -> None:
    text = "\n".join(lock.read_text(encoding="utf-8") for lock in locks)
    names = re.findall(r'^name = "(.+)"$', text, re.MULTILINE)
    # Not those whose marker says that they are not for here.
    installed = records(environment)
    packages = [installed.pop(name) for name in names if name in installed]
    known = {row for rows in installed.values() for row in rows if row[1]}
    work = []
    for rows in packages:
        sources = sources_of(environment, rows, known)
        known.update((path, digest) for path, digest in rows if digest)
        work.append((rows, sources))
    # The biggest first, so that no core is left with one at the end.
    work.sort(key=lambda pair: -len(pair[1]))
    cache.mkdir(parents=True, exist_ok=True)
    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ProcessPoolExecutor(workers, initializer=prepare) as pool:
        compiled = sum(pool.map(finish, *zip(*work), [cache] * len(work))) if work else 0
    modules = sum(len(sources) for _, sources in work)
    print(f"compiled {compiled} of {modules} modules of {len(names)} packages")


def prepare() -> None:
    """What a process that compiles does without: it ends soon, and nobody can change the packages."""
    gc.disable()
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
