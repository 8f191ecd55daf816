#!/bin/sh
# libraries.sh ENVIRONMENT: install the Debian packages with the libraries that packages need.
# Programs of the environment, which packages bring along, are not for this step.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
missing() { /pristine/bin/python -I -S /build/missing_libraries.py "$@"; }

packages=$(missing "$1" packages)
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086 # names of our table
    sh /build/system.sh $packages
else
    echo "no library is missing"
fi
missing "$1" >"$1/missing-libraries.txt"
SOURCE_DATE_EPOCH=315532800 /pristine/bin/python -I -S /build/set_times.py "$1"
