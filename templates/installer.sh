#!/bin/sh
# installer.sh FOLDER: put uv into a folder, with whatever pip the base image has.
# shellcheck source=templates/access.sh
. /build/access.sh

python=$(command -v python3 || command -v python)
if ! "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv "$HOME/pip"
    python=$HOME/pip/bin/python
fi
"$python" -m pip install --quiet --no-compile --no-cache-dir --no-warn-script-location \
    --disable-pip-version-check --root-user-action=ignore --target "$1" 'uv>=0.9.17'
"$1/bin/uv" --version
