import sys
from pathlib import Path

assert sys.version_info[:2] == (3, 13)
header, *rows = Path("../features.csv").read_text().split()
Path("../trainval.csv").write_text("\n".join([header, *rows[:3]]))
