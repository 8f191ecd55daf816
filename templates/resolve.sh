#!/bin/sh
# resolve.sh requirements|requirements.lock|pylock.toml|uv.lock ENVIRONMENT PROJECT FOLDER LAYER…:
# lock what is declared, or take the lock that is given; split it into layers. No program of a package
# runs: if one has to, to tell its requirements, only FOLDER/unresolved is made, and wheels.sh resolves.
# shellcheck source=templates/access.sh
. /build/access.sh
# shellcheck source=templates/lock.sh
. /build/lock.sh

for layer in "$@"; do
    mkdir -p "$folder/$layer"
done
# An interpreter that looks for its library here ends at once; uv's own questions ignore it (-I).
PYTHONHOME=/no/programs/of/packages
export PYTHONHOME
# uv's cache knows files of a project by their path alone, which is that of every project.
if [ -d "$project" ]; then
    UV_CACHE_DIR=$HOME/uv
    export UV_CACHE_DIR
fi
code=0
lock 2>"$HOME/said" || code=$?
if [ "$code" -ne 0 ] && grep -Eq "$PYTHONHOME|build backend returned an error" "$HOME/said"; then
    touch "$folder/unresolved"
    echo "a package has to be built to tell its requirements"
    exit 0
fi
say "$HOME/said"
if [ "$code" -ne 0 ]; then
    why_no_wheel "$HOME/said"
    exit "$code"
fi
split "$@"
