#!/bin/sh
# conda.sh VERSION FOLDER: make an environment of the conda packages that are declared.
# shellcheck source=templates/access.sh
. /build/access.sh

if ! command -v micromamba >/dev/null; then
    echo "container-backend: Conda packages are wanted, but the base image has no micromamba." >&2
    echo "container-backend: Set conda_base_image to an image that has." >&2
    exit 3
fi
MAMBA_ROOT_PREFIX=/cache/conda
export MAMBA_ROOT_PREFIX
micromamba create --yes --quiet --no-rc --always-copy --prefix "$2" --file /declared/conda.yaml
"$2/bin/python" /build/check_python.py "$1"
# It says when it was made, and nobody asks.
[ ! -e "$2/conda-meta/history" ] || : >"$2/conda-meta/history"
"$2/bin/python" /build/describe_packages.py "$2" conda
"$2/bin/python" -I /build/set_times.py "$2"
