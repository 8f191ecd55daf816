#!/bin/sh
# install.sh ENVIRONMENT LOCK: install what a lock names, nothing else, and compile its bytecode.
# shellcheck source=templates/access.sh
. /build/access.sh

if grep -q '^\[\[packages\]\]' "$2"; then
    "$1/bin/python" /build/count_packages.py "$2"
    /installer/uv pip install --no-deps --python "$1/bin/python" \
        --index-strategy unsafe-best-match --requirements "$2"
    # When a package of the project came into the build, which uv notes, is different in each build.
    find "$1" -path '*.dist-info/uv_cache.json' | while read -r note; do
        sed -i '/uv_cache\.json/d' "${note%/*}/RECORD"
        rm "$note"
    done
    echo compiling
    "$1/bin/python" /build/compile_bytecode.py "$2" /cache/bytecode
    layer=${2##*/pylock.}
    "$1/bin/python" /build/describe_packages.py "$1/packages" "${layer%.toml}" "$2"
else
    echo "nothing in this layer"
fi
# The last layer has what exactly is installed, for people and for `pip install`.
if [ -f /lock/requirements.lock ]; then
    cp /lock/requirements.lock "$1/requirements.lock"
fi
"$1/bin/python" /build/set_times.py "$1"
