"""compile_runner.py FOLDER: compile the runner of a project image, or say why that cannot be."""

import sys

if sys.version_info < (3, 8):  # noqa: UP036 whatever a project's own image has
    sys.exit("container-backend: a project image needs Python 3.8 or newer")

import compileall
import py_compile

mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
if not compileall.compile_dir(sys.argv[1], quiet=1, invalidation_mode=mode):
    sys.exit("container-backend: the runner could not be compiled")
