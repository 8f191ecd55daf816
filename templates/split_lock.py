"""split_lock.py FOLDER LAYER…: split FOLDER/pylock.toml into FOLDER/pylock.LAYER.toml.

Big packages go into the first layers: they change rarely and take long. Those that are files of the
project go into the one called "local". Each package's place depends on itself only, so that a
change of one moves no other.
"""

import re
import sys
from pathlib import Path

# The least size of a package, as downloaded, for each layer but the last, in bytes.
LEAST_SIZES = (5_000_000, 500_000)
BEGIN = "[[packages]]\n"
LOCAL = "local"


def size(package: str) -> int:
    """The size of the package's smallest wheel; 0 where the index does not tell."""
    wheels = package.partition("wheels = ")[2]
    return min(map(int, re.findall(r"\bsize = (\d+)", wheels)), default=0)


def is_local(package: str) -> bool:
    """Whether the package is a folder or an archive of the project."""
    return bool(
        re.search(
            r"^(directory|archive) = {.*\bpath = |\bwheels = .*{.*\bpath = ", package, re.MULTILINE
        )
    )


def main(folder: Path, layers: list) -> None:
    header, *packages = (folder / "pylock.toml").read_text(encoding="utf-8").split(BEGIN)
    files = dict.fromkeys(layers, header)
    sizes = [layer for layer in layers if layer != LOCAL]
    for package in packages:
        rank = sum(size(package) < least for least in LEAST_SIZES)
        files[LOCAL if is_local(package) else sizes[min(rank, len(sizes) - 1)]] += BEGIN + package
    for layer, text in files.items():
        (folder / f"pylock.{layer}.toml").write_text(text, encoding="utf-8")
        print(f"{layer}: {text.count(BEGIN)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
