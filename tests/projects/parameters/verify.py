"""What arrived is what was given."""

import sys
from pathlib import Path

text, count, rate, flag, data, where, odd, *more = sys.argv[1:]
assert text == "a 'b' $(touch /tmp/x) \"c\"\nünï", text
assert (count, rate, flag, where, odd) == ("07", "0.5", "yes", "s3://bucket/key", "None")
assert Path(data).read_text() == "given\n"
try:
    Path(data).write_text("changed")
except OSError:
    pass
else:
    raise SystemExit("the file can be written to")
assert more == ["--extra", "x y"], more
assert not Path("/tmp/x").exists()
