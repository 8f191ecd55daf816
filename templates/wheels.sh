#!/bin/sh
# wheels.sh requirements|requirements.lock|pylock.toml|uv.lock ENVIRONMENT PROJECT FOLDER LAYER…:
# build the wheels of packages that have none, into a folder for each layer; resolve before, if
# resolve.sh could not. Programs of packages run here, so there is nothing of other builds, and no
# login of the user.
# shellcheck source=templates/access.sh
. /build/access.sh
# shellcheck source=templates/lock.sh
. /build/lock.sh

UV_CACHE_DIR=$HOME/uv
# As when the image was made from these packages: programs of conda, a compiler among them.
PATH=$environment/bin:$PATH
export UV_CACHE_DIR PATH
if [ -d "$environment/conda-meta" ]; then
    CONDA_PREFIX=$environment
    export CONDA_PREFIX
fi
for layer in "$@"; do
    mkdir -p "$folder/$layer"
done
locked=/lock
if [ -f /lock/unresolved ]; then
    locked=$folder
    code=0
    lock 2>"$HOME/said" || code=$?
    say "$HOME/said"
    if [ "$code" -ne 0 ]; then
        why_no_wheel "$HOME/said"
        exit "$code"
    fi
    split "$@"
else
    cp /lock/requirements.lock "$folder"
fi
[ -z "${RESOLVE_ONLY:-}" ] || exit 0

built=
for layer in "$@"; do
    if [ -f "$locked/$layer/pylock.build.toml" ]; then
        built=yes
        "$python" -I -S /build/build_wheels.py /installer/uv "$locked/$layer/pylock.build.toml" \
            "$folder/$layer" /builds "$HOME/said" || {
            code=$?
            why_no_wheel "$HOME/said" "$locked/$layer/pylock.build.toml"
            exit "$code"
        }
    fi
done
# The last layer has the lock of all.
cp "$folder/requirements.lock" "$folder/$layer"
[ -n "$built" ] || echo "nothing to build"
