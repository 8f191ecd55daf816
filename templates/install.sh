#!/bin/sh
# install.sh ENVIRONMENT LAYER [auto]: install what the lock of a layer names and the wheels that were built
# for it, and compile its bytecode. No program of a package runs: uv uses an interpreter
# in front of an empty environment, /pristine.
# Programs of the environment, which packages bring along, are not for the steps that make it.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# shellcheck source=templates/access.sh
. /build/access.sh

environment=$1
layer=$2
found_later=${3:-}
python() { /pristine/bin/python -I -S "$@"; }
# It was written by programs of packages: a link could lead to a secret of this step.
if ! python -c '
import os, stat, sys
for folder, folders, files in os.walk("/wheels"):
    for name in folders + files:
        mode = os.lstat(os.path.join(folder, name)).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            sys.exit(1)
'; then
    echo "container-backend: The build of a package has left something that is not a file." >&2
    exit 3
fi
# Without its pages with links, which may be folders of the project: a lock has addresses.
UV_CONFIG_FILE=/build/uv-install.toml
export UV_CONFIG_FILE
install() {
    /installer/uv pip install --no-deps --no-build --python /pristine/bin/python \
        --prefix "$environment" "$@"
}

# What others find in the cache must not depend on a lock of the project, or on what a program of a
# package may have written.
first() {
    for file in "$@"; do
        if [ -f "$file" ]; then
            echo "$file"
            return
        fi
    done
}
lock=$(first /lock/pylock.toml)
if [ -z "$lock" ]; then
    UV_CACHE_DIR=$HOME/uv
    export UV_CACHE_DIR
    lock=$(first /lock/pylock.given.toml /wheels/pylock.toml /wheels/pylock.given.toml)
fi
if [ -z "$lock" ]; then
    echo "container-backend: There is no lock for the layer $layer." >&2
    exit 3
fi
set -- "$lock" $(first /lock/pylock.build.toml /wheels/pylock.build.toml)
if grep -q '^\[\[packages\]\]' "$@"; then
    python /build/count_packages.py "$@"
    if grep -q '^\[\[packages\]\]' "$lock"; then
        install --index-strategy unsafe-best-match --requirements "$lock"
    fi
    if ls /wheels/*.whl >/dev/null 2>&1; then
        install --no-index --offline --no-cache /wheels/*.whl
    fi
    python /build/tidy_layer.py "$environment"
    echo compiling
    python /build/compile_bytecode.py "$environment" /cache/bytecode "$@"
    python /build/describe_packages.py "$environment" "$layer" "$@"
else
    echo "nothing in this layer"
fi
# The last layer has what exactly is installed, for people and for `pip install`.
if [ -f /wheels/requirements.lock ]; then
    cp /wheels/requirements.lock "$environment/requirements.lock"
    # With "auto", a later step installs them.
    [ -n "$found_later" ] ||
        python /build/missing_libraries.py "$environment" >"$environment/missing-libraries.txt"
fi
python /build/set_times.py "$environment"
