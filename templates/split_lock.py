"""split_lock.py FOLDER LAYER…: split FOLDER/pylock.toml into FOLDER/pylock.LAYER.toml.

Big packages go into the first layers: they change rarely and take long. Each package's place
depends on its own size only, so that a change of one moves no other.
"""

import re
import sys
from pathlib import Path

# The least size of a package, as downloaded, for each layer but the last, in bytes.
LEAST_SIZES = (5_000_000, 500_000)
BEGIN = "[[packages]]\n"


def size(package: str) -> int:
    """The size of the package's smallest wheel; 0 where the index does not tell."""
    wheels = package.partition("wheels = ")[2]
    return min(map(int, re.findall(r"\bsize = (\d+)", wheels)), default=0)


def main(folder: Path, layers: list) -> None:
    header, *packages = (folder / "pylock.toml").read_text(encoding="utf-8").split(BEGIN)
    files = dict.fromkeys(layers, header)
    for package in packages:
        rank = sum(size(package) < least for least in LEAST_SIZES)
        files[layers[min(rank, len(layers) - 1)]] += BEGIN + package
    for layer, text in files.items():
        (folder / f"pylock.{layer}.toml").write_text(text, encoding="utf-8")
        print(f"{layer}: {text.count(BEGIN)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
