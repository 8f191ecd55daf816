#!/bin/sh
# resolve.sh requirements|requirements.lock|pylock.toml|uv.lock ENVIRONMENT PROJECT FOLDER LAYER…:
# lock what is declared, or take the lock that is given; split it into layers.
# shellcheck source=templates/access.sh
. /build/access.sh

source=$1
environment=$2
project=$3
folder=$4
shift 4
mkdir -p "$folder"
# Hashes that are declared hold, in a lock or not.
case $source in
requirements*) given=/declared/requirements.txt ;;
*) given=/dev/null ;;
esac
compile() {
    /installer/uv pip compile --quiet --format pylock.toml --output-file "$folder/pylock.toml" \
        --python "$environment/bin/python" --index-strategy unsafe-best-match \
        --custom-compile-command container-backend "$@"
}
case $source in
uv.lock)
    /installer/uv export --quiet --frozen --no-default-groups --project "$project" \
        --format pylock.toml --output-file "$folder/pylock.toml" \
        --python "$environment/bin/python" >/dev/null
    ;;
pylock.toml)
    cp /declared/pylock.toml "$folder/pylock.toml"
    ;;
requirements.lock)
    # For the addresses and sizes of the files; what is in the lock is all there is.
    compile --no-deps /declared/requirements.txt
    ;;
*)
    if [ -f /declared/requirements.lock ]; then
        # An environment of before is built again: what was found then is all there is.
        given=/declared/requirements.lock
        compile --no-deps "$given"
    else
        compile --constraints /declared/constraints.txt /declared/requirements.txt
    fi
    ;;
esac
"$environment/bin/python" /build/split_lock.py "$folder" /declared "$given" "$project" "$@"
