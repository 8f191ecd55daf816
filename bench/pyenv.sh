#!/bin/sh
# pyenv as far as MLflow calls it, with the interpreter that is there already ($BENCH_PYTHON):
# nothing is compiled, which is in its favour.
set -eu
root=${PYENV_ROOT:-$HOME/.pyenv}
case $1 in
root) echo "$root" ;;
install)
    for version; do :; done
    mkdir -p "$root/versions/$version/bin"
    ln -sf "$BENCH_PYTHON" "$root/versions/$version/bin/python"
    ;;
esac
