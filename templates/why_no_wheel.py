"""why_no_wheel.py UV SAID REQUIREMENTS CONSTRAINTS [LOCK…]: which packages have wheels for other Pythons only.

SAID is what uv said when it could not resolve REQUIREMENTS, or build a package of the LOCKs. A line for
each such package, with the Pythons that have wheels of it, and one with the newest Python for which
everything can be resolved; nothing if the cause is another one.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NO_WHEEL = re.compile(
    r"has no (usable |source distribution|wheels with)|only found wheels for|does not satisfy Python"
    r"|[Ff]ailed to build|marked as `--no-build`|can't be installed because it doesn't have"
)
FAILED = re.compile(r"Failed to build `([^`=]+)==")
PINNED = re.compile(r"\b([A-Za-z0-9][\w.-]*)==([\w.!+]*\w)")
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
PYTHONS = [f"3.{minor}" for minor in range(6, 16)]
OLDEST = 8  # the least that uv can be fetched with
ROUNDS = 5
HERE = "{}.{}".format(*sys.version_info[:2])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(line: str) -> str:
    found = NAME.match(line)
    return normal(found[0]) if found else ""


def pins_in(said: str) -> dict:
    """Name → ``name==version``, of what uv names."""
    return {normal(name): f"{normal(name)}=={version}" for name, version in PINNED.findall(said)}


class Asking:
    """Questions to uv, whose settings say where packages are."""

    def __init__(self, uv: str, constraints: Path) -> None:
        self.uv = uv
        self.constraints = constraints

    def resolve(self, lines: list, version: str, *words: str) -> subprocess.CompletedProcess:
        command = [
            self.uv,
            "pip",
            "compile",
            "--python",
            sys.executable,
            "--python-version",
            version,
        ]
        return subprocess.run(  # noqa: S603 words of ours
            [*command, "--index-strategy", "unsafe-best-match", *words, "-"],
            input="\n".join(lines),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def has_wheel(self, line: str, version: str) -> bool:
        return self.resolve([line], version, "--no-deps", "--only-binary", ":all:").returncode == 0

    def pythons_of(self, line: str) -> list:
        with ThreadPoolExecutor(4) as pool:
            fits = pool.map(lambda version: self.has_wheel(line, version), PYTHONS)
        return [version for version, fit in zip(PYTHONS, fits) if fit]

    def is_solved(self, lines: list, version: str) -> bool:
        """True also if a package would have to be built to say."""
        done = self.resolve(lines, version, "--constraints", str(self.constraints))
        return done.returncode == 0 or "No solution found" not in done.stderr


def without_wheels(asking: Asking, text: str, declared: dict, locks: list) -> dict:
    """Name → requirement and the Pythons that have wheels, of what has wheels for others only."""
    found, seen = {}, set()
    for _ in range(ROUNDS):
        if not NO_WHEEL.search(text):
            break
        named = pins_in(text)
        for lock in locks:  # the others would come next
            named.update(pins_of(lock))
        named.update({name: line for name, line in declared.items() if is_named(name, text)})
        new = {name: line for name, line in named.items() if name not in seen}
        seen |= set(new)
        for name, line in new.items():
            pythons = [] if asking.has_wheel(line, HERE) else asking.pythons_of(line)
            if pythons:
                found[name] = (line, pythons)
        left = [line for name, line in declared.items() if name not in seen]
        if not found or not new or not left:
            break
        text = asking.resolve(left, HERE, "--no-deps", "--only-binary", ":all:").stderr
    return found


def main(uv: str, said: Path, requirements: Path, constraints: Path, *locks: Path) -> None:
    text = said.read_text(encoding="utf-8", errors="replace")
    asking = Asking(uv, constraints)
    lines = requirements.read_text(encoding="utf-8").splitlines()
    declared = {
        name_of(line): line
        for line in lines
        if name_of(line) and " @ " not in line and "://" not in line
    }
    found = without_wheels(asking, text, declared, list(locks))
    failed = FAILED.search(text)
    if not found or (failed and normal(failed[1]) not in found):
        return  # a source that cannot be built has a reason of its own
    for line, pythons in found.values():
        print(f"container-backend: no wheel: {line.split(' ;')[0]}: {' '.join(pythons)}")
    common = [
        version
        for version in reversed(PYTHONS)
        if int(version[2:]) >= OLDEST and all(version in pythons for _, pythons in found.values())
    ]
    best = next((version for version in common if asking.is_solved(lines, version)), None)
    if best:
        print(f"container-backend: works with Python {best}")


def is_named(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None


def pins_of(lock: Path) -> dict:
    text = lock.read_text(encoding="utf-8")
    found = re.findall(r'^name = "(.+)"\nversion = "(.+)"$', text, re.MULTILINE)
    return {normal(name): f"{normal(name)}=={version}" for name, version in found}


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
