#!/bin/sh
# libraries.sh ENVIRONMENT: install the Debian packages with the libraries that packages need.
# Programs of the environment, which packages bring along, are not for this step.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
missing() { /pristine/bin/python -I -S /build/missing_libraries.py "$@"; }

packages=$(missing "$1" packages)
if [ -z "$packages" ]; then
    echo "no library is missing"
# shellcheck disable=SC2086 # names of our table
elif ! sh /build/system.sh $packages; then
    # Another release of Debian has some of them by other names.
    found=
    for package in $packages; do
        sh /build/system.sh "$package" && found=1
    done
    [ -n "$found" ] || exit 1
fi
missing "$1" >"$1/missing-libraries.txt"
SOURCE_DATE_EPOCH=315532800 /pristine/bin/python -I -S /build/set_times.py "$1"
