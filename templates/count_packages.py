"""count_packages.py LOCK…: say how much there is in locks, as "4 packages, 75.2 MB"."""

import sys
from pathlib import Path

# Isolated, Python does not look here; last, for no file here stands for a module of Python.
sys.path.append(str(Path(__file__).parent))

from split_lock import BEGIN, size

texts = [Path(file).read_text(encoding="utf-8") for file in sys.argv[1:]]
packages = [package for text in texts for package in text.split(BEGIN)[1:]]
count = f"{len(packages)} package{'s' * (len(packages) != 1)}"
megabytes = f"{sum(map(size, packages)) / 1_000_000:.1f}"
# An index need not tell sizes, and the smallest are not worth saying.
print(count if megabytes == "0.0" else f"{count}, {megabytes} MB")
