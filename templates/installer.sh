#!/bin/sh
# installer.sh FOLDER ENVIRONMENT: put uv into a folder, with whatever pip there is.
# shellcheck source=templates/access.sh
. /build/access.sh

python=$(command -v python3 || command -v python || echo "$2/bin/python")
if ! "$python" -m pip --version >/dev/null 2>&1; then
    # The pip that every Python brings along in order to make environments. It runs when unpacked,
    # which is much faster than making one.
    bundled=$("$python" -c '
import ensurepip, glob
folders = [ensurepip.__path__[0] + "/_bundled", "/usr/share/python-wheels"]
print(*[wheel for folder in folders for wheel in glob.glob(folder + "/pip-*.whl")][:1])
')
    if [ -z "$bundled" ]; then
        echo "container-backend: The base image has no pip, which is needed to fetch the installer." >&2
        exit 3
    fi
    PYTHONPATH=$(mktemp -d)
    export PYTHONPATH
    "$python" -m zipfile -e "$bundled" "$PYTHONPATH"
fi
"$python" -m pip install --quiet --no-input --no-compile --no-cache-dir --no-warn-script-location \
    --disable-pip-version-check --root-user-action=ignore --no-deps --target "$1" 'uv>=0.9.17'
"$1/bin/uv" --version
