#!/bin/sh
# system.sh PACKAGE…: install Debian packages and what they need, nothing that they recommend.
# shellcheck source=templates/access.sh
. /build/access.sh

if ! command -v apt-get >/dev/null; then
    echo "container-backend: System packages are wanted, but the base image has no apt-get." >&2
    echo "container-backend: Set base_image (for conda packages, conda_base_image) to an image of Debian." >&2
    exit 3
fi
# Some images empty the cache after each installation; here it is kept for the next build.
rm -f /etc/apt/apt.conf.d/docker-clean
cat >"$HOME/apt.conf" <<EOF
APT::Keep-Downloaded-Packages "true";
Acquire::Retries "3";
${SSL_CERT_FILE:+Acquire::https::CAInfo "$SSL_CERT_FILE";}
EOF
touch "$HOME/begun"
APT_CONFIG=$HOME/apt.conf
DEBIAN_FRONTEND=noninteractive
export APT_CONFIG DEBIAN_FRONTEND
apt-get update -qq
apt-get install -qq --yes --no-install-recommends -- "$@"
# What says when it was written, and what is there for the next time only; the rest is of one time.
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log \
    /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old
find / -xdev -newer "$HOME/begun" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
