#!/bin/sh
# system.sh PACKAGE…: install Debian packages and what they need, nothing that they recommend.
# shellcheck source=templates/access.sh
. /build/access.sh

if ! command -v apt-get >/dev/null; then
    echo "container-backend: System packages are wanted, but the base image has no apt-get." >&2
    echo "container-backend: Set base_image to an image of Debian or Ubuntu." >&2
    exit 3
fi
# Some images empty the cache after each installation; here it is kept for the next build.
rm -f /etc/apt/apt.conf.d/docker-clean
cat >"$HOME/apt.conf" <<EOF
APT::Keep-Downloaded-Packages "true";
Acquire::Retries "3";
${SSL_CERT_FILE:+Acquire::https::CAInfo "$SSL_CERT_FILE";}
EOF
APT_CONFIG=$HOME/apt.conf
DEBIAN_FRONTEND=noninteractive
export APT_CONFIG DEBIAN_FRONTEND
apt-get update -qq
apt-get install -qq --yes --no-install-recommends -- "$@"
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log
