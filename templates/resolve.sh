#!/bin/sh
# resolve.sh ENVIRONMENT DECLARED FOLDER LAYER…: lock what is declared, split it into layers.
# shellcheck source=templates/access.sh
. /build/access.sh

environment=$1
declared=$2
folder=$3
shift 3
mkdir -p "$folder"
/installer/uv pip compile --quiet --format pylock.toml --output-file "$folder/pylock.toml" \
    --python "$environment/bin/python" --index-strategy unsafe-best-match \
    --constraints "$declared/constraints.txt" --custom-compile-command container-backend \
    "$declared/requirements.txt"
"$environment/bin/python" /build/split_lock.py "$folder" "$@"
