"""split_lock.py UV FOLDER DECLARED GIVEN PROJECT SOURCE LAYER…: split FOLDER/pylock.toml into layers.

Big packages go into the first layers: they change rarely and take long. Small ones that the project
names itself, a line each in DECLARED/direct.txt, go into "direct": these are what people add and
change. Those that are files of the project go into "local". Each package's place depends on itself
only, so that a change of one moves no other.

FOLDER/LAYER/pylock.toml is what goes into a layer from an index; pylock.given.toml, where the project
gave the lock, SOURCE; pylock.build.toml, where it has to be built first.

GIVEN is a requirements file with hashes that the project gave: files with other hashes are left
out. FOLDER/requirements.lock says all of it in the form of such a file, for people and for pip, with
paths relative to the PROJECT.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# The least size of a package for a layer, as downloaded, in bytes.
LEAST_SIZES = {"heavy": 15_000_000, "medium": 1_000_000}
BEGIN = "[[packages]]\n"
LIGHT, DIRECT, LOCAL = "light", "direct", "local"
DRY_RUN = ("pip", "install", "--dry-run", "--no-build", "--no-deps", "--offline")
NO_WHEEL = re.compile(r"Package `([^`]+)` can't be installed because it is marked as `--no-build`")
FILE = re.compile(r'\{ (?:url|path) = [^{}]*hashes = \{ sha256 = "([0-9a-f]{64})" \} \}')


def field(package: str, name: str) -> str:
    found = re.search(rf'^{name} = "(.*)"$', package, re.MULTILINE)
    return found[1] if found else ""


def size(package: str) -> int:
    """The size of the package's smallest wheel; 0 where the index does not tell."""
    wheels = package.partition("wheels = ")[2]
    return min(map(int, re.findall(r"\bsize = (\d+)", wheels)), default=0)


def is_local(package: str) -> bool:
    """Whether the package is a folder or a file of the project."""
    return bool(
        re.search(
            r"^(directory|archive) = {.*\bpath = |\bwheels = .*{.*\bpath = ", package, re.MULTILINE
        )
    )


def has_wheel(package: str) -> bool:
    """Whether it comes as a wheel, for whatever interpreter, from an index or an address."""
    built = r"^(vcs|directory) = |^\[packages\.(vcs|directory)\]"
    if is_local(package) or re.search(built, package, re.MULTILINE):
        return False
    archive = re.search(
        r'^(?:archive = {.*\b|\[packages\.archive\]\n(?:.+\n)*?)url = "([^"#?]+)',
        package,
        re.MULTILINE,
    )
    if archive:
        return archive[1].endswith(".whl")
    return "\nwheels = " in package or "\n[[packages.wheels]]" in package


def without_wheel_for_here(uv: str, packages: list, header: str) -> set:
    """The names of the packages whose wheels are all for other interpreters, as uv says one by one."""
    left = [package for package in packages if has_wheel(package)]
    found = set()
    while left:
        with tempfile.TemporaryDirectory() as folder:
            lock = Path(folder, "pylock.toml")
            lock.write_text(header + "".join(BEGIN + each for each in left), encoding="utf-8")
            done = subprocess.run(  # noqa: S603 words of ours
                [uv, *DRY_RUN, "--python", sys.executable, "--target", folder, "-r", lock],
                stderr=subprocess.PIPE,
                encoding="utf-8",
                check=False,
            )
        match = NO_WHEEL.search(done.stderr)
        if done.returncode == 0 or match is None:
            break  # another error is told when the layer is installed
        found.add(match[1])
        left = [package for package in left if field(package, "name") != match[1]]
    return found


def layer_of(package: str, direct: set) -> str:
    """The layer that a package goes into."""
    if is_local(package):
        return LOCAL
    for layer, least in LEAST_SIZES.items():
        if size(package) >= least:
            return layer
    return DIRECT if field(package, "name") in direct else LIGHT


def given_hashes(file: Path) -> dict:
    """Name → hashes, of a requirements file; none where there is no such file."""
    if not file.is_file():
        return {}
    lines = re.sub(r"\\\n", " ", file.read_text(encoding="utf-8")).splitlines()
    hashes = {}
    for line in lines:
        name = re.sub(r"[-_.]+", "-", line.partition("==")[0].partition("[")[0].strip()).lower()
        hashes[name] = set(re.findall(r"--hash=sha256:(\w+)", line))
    return hashes


def only_given(package: str, hashes: set) -> str:
    """The package without files of other hashes.

    Raises:
        SystemExit: None is left.
    """
    if not hashes:
        return package
    found = FILE.findall(package)
    if not hashes & set(found):
        sys.exit(
            f"container-backend: The hashes declared for {field(package, 'name')} are of none of the "
            "files of the index.\n"
            f"container-backend: Declared: {', '.join(sorted(hashes))}\n"
            f"container-backend: In the index: {', '.join(sorted(set(found)))}"
        )
    kept = FILE.sub(lambda match: match[0] if match[1] in hashes else "", package)
    kept = re.sub(r"^sdist = \n", "", kept, flags=re.MULTILINE)
    kept = re.sub(r",\s*(?=,|\])", "", kept)
    return re.sub(r"\[\s*,", "[", kept)


def with_index(package: str, index: str) -> str:
    """The package with the index that it is from, without which uv downloads it again each time."""
    if (
        not index
        or re.search(r"^(index|vcs|archive|directory) = ", package, re.MULTILINE)
        or is_local(package)
    ):
        return package
    line = f"index = {json.dumps(index)}\n"
    return re.sub(r'^version = ".*"\n', lambda match: match[0] + line, package, flags=re.MULTILINE)


def requirement(package: str, folder: Path, project: str) -> str:
    """The package as in a requirements file with hashes."""
    name = field(package, "name")
    if is_local(package):
        inside = re.search(r'\bpath = "([^"]+)"', package)[1]
        path = os.path.relpath(os.path.normpath(folder / inside), project)
        return path if path == "." else f"./{path}"
    archive = re.search(r'^archive = {.*\burl = "([^"]+)"', package, re.MULTILINE)
    vcs = re.search(r"^vcs = {(.*)}", package, re.MULTILINE)
    if vcs:
        told = dict(re.findall(r'([\w-]+) = "([^"]*)"', vcs[1]))
        line = f"{name} @ {told['type']}+{told['url']}@{told['commit-id']}"
        if "subdirectory" in told:
            line += f"#subdirectory={told['subdirectory']}"
    elif archive:
        line = f"{name} @ {archive[1]}"
    else:
        line = f"{name}=={field(package, 'version')}"
    if marker := field(package, "marker"):
        line += f" ; {marker}"
    return " \\\n    ".join(
        [line, *(f"--hash=sha256:{digest}" for digest in sorted(set(FILE.findall(package))))]
    )


def lock_text(locked: dict) -> str:
    """A requirements file with hashes, by layers."""
    version = ".".join(map(str, sys.version_info[:2]))
    lines = [f"# Locked for Python {version} on {sys.platform}, {platform.machine()}."]
    for layer, requirements in locked.items():
        if requirements:
            lines += [f"# layer: {layer}", *requirements]
    return "".join(f"{line}\n" for line in lines)


def main(
    uv: str, folder: Path, declared: Path, given: Path, project: str, source: str, *layers: str
) -> None:
    header, *packages = (folder / "pylock.toml").read_text(encoding="utf-8").split(BEGIN)
    hashes = given_hashes(given)
    packages = [
        only_given(package, hashes.get(field(package, "name"), set())) for package in packages
    ]
    named = set((declared / "direct.txt").read_text(encoding="utf-8").split())
    index = (declared / "index.txt").read_text(encoding="utf-8").strip()
    is_given = source in {"pylock.toml", "uv.lock"}
    to_build = without_wheel_for_here(uv, packages, header)
    placed = [(layer_of(package, named), package) for package in packages]
    locked = {}
    for layer in layers:
        mine = [package for place, package in placed if place == layer]
        ready = [each for each in mine if has_wheel(each) and field(each, "name") not in to_build]
        built = [each for each in mine if each not in ready]
        if is_given:
            write(folder / layer / "pylock.given.toml", header, ready)
        else:
            write(
                folder / layer / "pylock.toml", header, [with_index(each, index) for each in ready]
            )
        if built:
            write(folder / layer / "pylock.build.toml", header, built)
        print(f"{layer}: {len(mine)} packages")
        locked[layer] = [requirement(package, folder, project) for package in mine]
    (folder / "requirements.lock").write_text(lock_text(locked), encoding="utf-8")


def write(file: Path, header: str, packages: list) -> None:
    text = header + "".join(BEGIN + package for package in packages)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]), *sys.argv[5:])
