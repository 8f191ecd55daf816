"""check_python.py VERSION: fail unless this interpreter is of that version (3, 3.11 or 3.11.7)."""

import sys

wanted = sys.argv[1]
found = "{}.{}.{}".format(*sys.version_info[:3])
if (found + ".").startswith(wanted + "."):
    sys.exit(0)
sys.stderr.write(
    f"container-backend: Python {wanted} is wanted, but the base image has Python {found}.\n"
)
sys.exit(3)
