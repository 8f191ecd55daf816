#!/bin/sh
# resolve.sh requirements|uv.lock ENVIRONMENT PROJECT FOLDER LAYER…: lock what is declared, split it
# into layers.
# shellcheck source=templates/access.sh
. /build/access.sh

source=$1
environment=$2
project=$3
folder=$4
shift 4
mkdir -p "$folder"
if [ "$source" = uv.lock ]; then
    /installer/uv export --quiet --frozen --no-default-groups --project "$project" \
        --format pylock.toml --output-file "$folder/pylock.toml" \
        --python "$environment/bin/python" >/dev/null
else
    /installer/uv pip compile --quiet --format pylock.toml --output-file "$folder/pylock.toml" \
        --python "$environment/bin/python" --index-strategy unsafe-best-match \
        --constraints /declared/constraints.txt --custom-compile-command container-backend \
        /declared/requirements.txt
fi
"$environment/bin/python" /build/split_lock.py "$folder" "$@"
