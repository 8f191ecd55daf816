#!/bin/sh
# Sourced by the steps that use the network: how packages are reached from behind a company's
# proxy or a private index, without anything of it staying in a layer.
set -eu

# Secrets are readable for this step only. Git reads logins from a home folder, uv from a variable.
HOME=$(mktemp -d)
trap 'rm -rf "$HOME"' EXIT
if [ -s /run/secrets/netrc ]; then
    ln -s /run/secrets/netrc "$HOME/.netrc"
    NETRC=/run/secrets/netrc
    export NETRC
fi
if [ -s /run/secrets/proxy ]; then
    . /run/secrets/proxy
fi
if [ -s /run/secrets/ca-bundle ]; then
    SSL_CERT_FILE=/run/secrets/ca-bundle
    PIP_CERT=$SSL_CERT_FILE
    REQUESTS_CA_BUNDLE=$SSL_CERT_FILE
    CURL_CA_BUNDLE=$SSL_CERT_FILE
    GIT_SSL_CAINFO=$SSL_CERT_FILE
    export SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO
fi
# What is built is of one time, whenever that is: the first day that a zip archive can tell.
# https://reproducible-builds.org/specs/source-date-epoch/
SOURCE_DATE_EPOCH=315532800
TZ=UTC
export SOURCE_DATE_EPOCH TZ

# Without progress bars, uv prints a line when it begins and ends to download a big package.
export HOME \
    PIP_CONFIG_FILE=/build/pip.conf \
    UV_CONFIG_FILE=/build/uv.toml \
    UV_CACHE_DIR=/cache/uv \
    UV_LINK_MODE=copy \
    UV_NO_PROGRESS=1 \
    UV_PREVIEW_FEATURES=pylock \
    UV_PYTHON_DOWNLOADS=never \
    UV_HTTP_TIMEOUT=120
