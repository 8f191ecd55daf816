"""compile_bytecode.py LOCK: compile the modules of the packages that a lock names.

Those of packages' own tests are left out: they are a third of all, and no run imports them.
"""

import concurrent.futures
import importlib.metadata
import os
import py_compile
import re
import sys
from pathlib import Path

TESTS = {"test", "tests"}


def modules(name: str) -> list:
    """The files to compile of an installed package."""
    try:
        files = importlib.metadata.distribution(name).files or []
    except importlib.metadata.PackageNotFoundError:
        return []  # its marker says that it is not for this platform
    return [
        str(file.locate()) for file in files if file.suffix == ".py" and not TESTS & {*file.parts}
    ]


def compile_module(file: str) -> None:
    """Compile a file; one that is not Python of this version is none that gets imported."""
    try:
        py_compile.compile(file, doraise=True, quiet=2)
    except (py_compile.PyCompileError, OSError, ValueError):
        return


def main(lock: Path) -> None:
    names = re.findall(r'^name = "(.+)"$', lock.read_text(encoding="utf-8"), re.MULTILINE)
    files = [file for name in names for file in modules(name)]
    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        for _ in pool.map(compile_module, files, chunksize=32):
            pass
    print(f"compiled {len(files)} modules of {len(names)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
