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

# Sourced here and not with access.sh: what is installed is known then.
if [ -s /declared/exclude-newer.txt ]; then
    UV_EXCLUDE_NEWER=$(cat /declared/exclude-newer.txt)
    export UV_EXCLUDE_NEWER
fi

# What uv has said; FILE. Its warnings of each file without a time of upload are one.
say() {
    grep -v -e "is missing an upload date" -e "^Resolved " -e "does not contain any dependencies" "$1" |
        sed "s/ Consider using .exclude-newer-package.*//" >&2 || true
    unknown=$(grep -c "is missing an upload date" "$1" || true)
    if [ "$unknown" -ne 0 ]; then
        echo "container-backend: warning: exclude_newer leaves out $unknown files, because the index" \
            "does not tell when they were uploaded." >&2
    fi
}

compile() {
    # Not --quiet: uv warns of files whose time of upload the index does not tell.
    /installer/uv pip compile --format pylock.toml --output-file "$folder/pylock.toml" \
        --python "$python" --index-strategy unsafe-best-match \
        --custom-compile-command container-backend "$@" >/dev/null
}

# What is in a lock is known, whenever it was uploaded.
locked() (
    unset UV_EXCLUDE_NEWER
    compile --no-deps "$given"
)

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
        locked
        ;;
    *)
        if [ "$given" = /declared/requirements.lock ]; then
            # An environment of before is built again: what was found then is all there is.
            locked
        else
            compile --constraints /declared/constraints.txt "$given"
        fi
        ;;
    esac
}

# Say which packages have wheels for other Pythons only, if that is why uv failed. SAID LOCK…
why_no_wheel() {
    "$python" -I -S /build/why_no_wheel.py /installer/uv "$1" "$given" /declared/constraints.txt \
        ${2:+"$2"} >&2 || true
}

# Split FOLDER/pylock.toml into layers.
split() {
    "$python" -I -S /build/split_lock.py /installer/uv "$folder" /declared "$given" "$project" \
        "$source" "$@"
}
