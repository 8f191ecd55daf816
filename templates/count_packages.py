"""count_packages.py LOCK: say how much there is in a lock, as "4 packages, 75.2 MB"."""

import sys
from pathlib import Path

from split_lock import BEGIN, size

_, *packages = Path(sys.argv[1]).read_text(encoding="utf-8").split(BEGIN)
count = f"{len(packages)} package{'s' * (len(packages) != 1)}"
megabytes = f"{sum(map(size, packages)) / 1_000_000:.1f}"
# An index need not tell sizes, and the smallest are not worth saying.
print(count if megabytes == "0.0" else f"{count}, {megabytes} MB")
