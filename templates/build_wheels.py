"""build_wheels.py UV LOCK FOLDER CACHE SAID: build the wheels of a lock's packages into FOLDER.

A wheel stays in CACHE, by what the lock says of its package, if that tells the content: builds of other
projects have another CACHE. What uv says is kept in SAID, too. Programs of packages run here.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BEGIN = "[[packages]]\n"
# A hash of the source, or a commit.
TELLS_CONTENT = re.compile(r'\b(sha256|commit-id) = "')
LOCAL_WHEEL = re.compile(r'\bpath = "([^"]*\.whl)"')
LOCAL = re.compile(r"^directory = |^\[packages\.directory\]", re.MULTILINE)


def kept_in(cache: Path, package: str) -> Path:
    """The folder for the wheel of a package."""
    # What it is built with depends on the day as of which it is resolved.
    day = os.environ.get("UV_EXCLUDE_NEWER", "")
    return cache / hashlib.sha256(f"{sys.version}\n{day}\n{package}".encode()).hexdigest()


def copy(wheels: list, folder: Path) -> bool:
    """Copy files; True if there is one."""
    for wheel in wheels:
        shutil.copy(wheel, folder)
    return bool(wheels)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def run_and_keep(command: list, said: Path) -> None:
    """Run a command whose standard error is kept in a file, too; raises CalledProcessError."""
    with subprocess.Popen(command, stderr=subprocess.PIPE) as running, said.open("wb") as kept:  # noqa: S603
        for line in running.stderr:
            kept.write(line)
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
    if running.returncode != 0:
        raise subprocess.CalledProcessError(running.returncode, command)


def build(uv: str, lock: Path, work: Path, said: Path) -> dict:
    """Normalised name → wheel, as uv has built them; not those of what was needed to build."""
    target, cache = work / "target", work / "cache"
    words = ("pip", "install", "--no-deps", "--index-strategy", "unsafe-best-match")
    places = ("--python", sys.executable, "--target", target, "--cache-dir", cache)
    run_and_keep([uv, *words, *places, "--requirements", lock], said)
    found = {}
    for info in target.glob("*.dist-info"):
        stem = info.name[: -len(".dist-info")]
        wheels = [
            wheel
            for wheel in cache.glob(f"sdists-*/**/{stem}-*.whl")
            if "src" not in wheel.relative_to(cache).parts
        ]
        if not wheels:
            sys.exit(f"container-backend: The build of {stem} has made no wheel.")
        found[normal(stem.partition("-")[0])] = wheels[0]
    return found


def main(uv: str, lock: Path, folder: Path, cache: Path, said: Path) -> None:
    header, *packages = lock.read_text(encoding="utf-8").split(BEGIN)
    # Paths in a lock are relative to its folder.
    place = folder.parent
    left = []
    for package in packages:
        local = LOCAL_WHEEL.search(package)
        kept = kept_in(cache, package)
        if not copy([place / local[1]] if local else list(kept.glob("*.whl")), folder):
            left.append(package)
    if not left:
        return
    lock = place / "pylock.left.toml"
    lock.write_text(header + "".join(BEGIN + package for package in left), encoding="utf-8")
    with tempfile.TemporaryDirectory() as work:
        built = build(uv, lock, Path(work), said)
        copy(list(built.values()), folder)
        for package in left:
            wheel = built.get(normal(re.search(r'^name = "(.+)"$', package, re.MULTILINE)[1]))
            # A marker may say that a package is not for here.
            if wheel and TELLS_CONTENT.search(package) and not LOCAL.search(package):
                # In one step: another build, or the end of this one, may come at any time.
                kept, new = kept_in(cache, package), cache / f"new-{os.urandom(8).hex()}"
                new.mkdir()
                copy([wheel], new)
                if kept.exists():
                    shutil.rmtree(new)
                else:
                    new.rename(kept)


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(Path, sys.argv[2:]))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
