#!/bin/sh
# python.sh VERSION FOLDER: have uv fetch a Python that the base image lacks, and make an environment of it.
# shellcheck source=templates/access.sh
. /build/access.sh

sh /build/installer.sh "$HOME/installer" ""
# Where Pythons come from, if not from uv's usual source.
UV_CONFIG_FILE=/build/uv-python.toml
UV_PYTHON_DOWNLOADS=automatic
UV_PYTHON_INSTALL_DIR=/mlflow/python
UV_PYTHON_CACHE_DIR=/cache/pythons
# Its library comes without bytecode, which every run would compile again.
UV_COMPILE_BYTECODE=1
export UV_COMPILE_BYTECODE UV_CONFIG_FILE UV_PYTHON_DOWNLOADS UV_PYTHON_INSTALL_DIR UV_PYTHON_CACHE_DIR
uv="$HOME/installer/bin/uv"
"$uv" python install --no-bin --managed-python "$1"
python=$("$uv" python find --managed-python --no-project "$1")
"$python" /build/check_python.py "$1"
"$python" -m venv --without-pip "$2"
rm -rf "$UV_PYTHON_INSTALL_DIR/.lock" "$UV_PYTHON_INSTALL_DIR/.temp"
"$python" -I /build/set_times.py "$2"
"$python" -I /build/set_times.py "$UV_PYTHON_INSTALL_DIR"
