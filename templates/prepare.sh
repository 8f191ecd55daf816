#!/bin/sh
# prepare.sh VERSION FOLDER: check the base's interpreter and make an environment of it.
# shellcheck source=templates/access.sh
. /build/access.sh

python=$(command -v python3 || command -v python || true)
if [ -z "$python" ]; then
    echo "container-backend: Python $1 is wanted, but the base image has no python3." >&2
    echo "container-backend: Set base_image to an image with Python $1." >&2
    exit 3
fi
"$python" /build/check_python.py "$1"
# Without pip: the installer brings its own means, and what is not declared is not there.
"$python" -m venv --without-pip "$2"
"$python" -I /build/set_times.py "$2"
