#!/bin/sh
# Sourced by the steps that resolve, with their arguments:
# requirements|requirements.lock|pylock.toml|uv.lock ENVIRONMENT PROJECT FOLDER LAYER…
source=$1
environment=$2
project=$3
folder=$4
shift 4
python="$environment/bin/python"
mkdir -p "$folder"
# Hashes that are declared hold, in a lock or not.
case $source in
requirements*) given=/declared/requirements.txt ;;
*) given=/dev/null ;;
esac
[ "$source" != requirements ] || [ ! -f /declared/requirements.lock ] || given=/declared/requirements.lock

compile() {
    /installer/uv pip compile --quiet --format pylock.toml --output-file "$folder/pylock.toml" \
        --python "$python" --index-strategy unsafe-best-match \
        --custom-compile-command container-backend "$@"
}

# Lock into FOLDER/pylock.toml.
lock() {
    case $source in
    uv.lock)
        /installer/uv export --quiet --frozen --no-default-groups --project "$project" \
            --format pylock.toml --output-file "$folder/pylock.toml" --python "$python" >/dev/null
        ;;
    pylock.toml)
        cp /declared/pylock.toml "$folder/pylock.toml"
        ;;
    requirements.lock)
        # For the addresses and sizes of the files; what is in the lock is all there is.
        compile --no-deps "$given"
        ;;
    *)
        if [ "$given" = /declared/requirements.lock ]; then
            # An environment of before is built again: what was found then is all there is.
            compile --no-deps "$given"
        else
            compile --constraints /declared/constraints.txt "$given"
        fi
        ;;
    esac
}

# Split FOLDER/pylock.toml into layers.
split() {
    "$python" -I -S /build/split_lock.py /installer/uv "$folder" /declared "$given" "$project" \
        "$source" "$@"
}
