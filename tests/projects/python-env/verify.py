"""What was declared is there, and nothing else."""

import sys
from importlib.metadata import distributions

found = {
    distribution.metadata["Name"].lower(): distribution.version for distribution in distributions()
}
assert sys.version_info[:2] == (3, 11), sys.version
assert set(found) == {"setuptools", "six", "tabulate"}, found
assert found["six"] == "1.16.0", found
