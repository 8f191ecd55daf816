# resolve.sh ENVIRONMENT FOLDER LAYER…: lock the requirements, and split the lock into layers.
. /build/access.sh

environment=$1
folder=$2
shift 2
mkdir -p "$folder"
/installer/uv pip compile --quiet --format pylock.toml --output-file "$folder/pylock.toml" \
    --python "$environment/bin/python" --index-strategy unsafe-best-match \
    --constraints /build/constraints.txt --custom-compile-command container-backend \
    /build/requirements.txt
"$environment/bin/python" /build/split_lock.py "$folder" "$@"
