#!/bin/sh
# install.sh ENVIRONMENT LOCK: install what a lock names, nothing else, and compile its bytecode.
# shellcheck source=templates/access.sh
. /build/access.sh

if ! grep -q '^\[\[packages\]\]' "$2"; then
    echo "nothing in this layer"
    exit 0
fi
"$1/bin/python" /build/count_packages.py "$2"
/installer/uv pip install --no-deps --python "$1/bin/python" \
    --index-strategy unsafe-best-match --requirements "$2"
echo compiling
"$1/bin/python" /build/compile_bytecode.py "$2" /cache/bytecode
