# Sourced by contrib/demo and contrib/test: messages, Debian packages, builds. Sets `root`, the source directory.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

BUILD_PACKAGES=(gcc libc6-dev make autoconf automake pkg-config python3-dev libev-dev libfcgi-dev libinih-dev
    systemtap-sdt-dev libncurses-dev libjansson-dev libcurl4-openssl-dev)

# The HTTP parser, which configure looks for: a library from Debian 13 on, sources in Debian 12.
# shellcheck disable=SC1091
if [ "$(. /etc/os-release 2>/dev/null && echo "${VERSION_ID-}")" = 12 ]; then
    HTTP_PACKAGES=(node-llhttp)
else
    HTTP_PACKAGES=(libllhttp-dev)
fi

say() {
    printf '%s: %s\n' "${0##*/}" "$*"
}

die() {
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# usage_error MESSAGE: for what is wrong on the command line (EX_USAGE of sysexits.h).
usage_error() {
    printf '%s: error: %s\n' "${0##*/}" "$*" >&2
    exit 64
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -- "$@"
    fi
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages PACKAGE...: installs those that are not there, and asks nothing.
install_packages() {
    command -v apt-get >/dev/null ||
        die "this machine has no apt-get; install what these Debian packages contain, then build by hand (README): $*"
    local package missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
        die "not root and no sudo; as root: apt-get install ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    apt_install "${missing[@]}" ||
        die "apt-get could not install ${missing[*]}: what it said is above"
}

# Packages that bring a service with them, and the service's name.
declare -A SERVICES=([nginx-common]=nginx [apache2]=apache2 [caddy]=caddy [h2o]=h2o [haproxy]=haproxy
    [lighttpd]=lighttpd [postgresql-common]=postgresql [prometheus]=prometheus)

# No service of the system starts or is enabled by an installation of ours: not now and not at the next boot.
apt_install() (
    local package new=()
    for package in "${!SERVICES[@]}"; do
        is_installed "$package" || new+=("$package")
    done
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        # invoke-rc.d(8): status 101 forbids the action.
        printf '#!/bin/sh\nexit 101\n' | as_root sh -c 'cat >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d'
    fi
    as_root apt-get update -q || exit 1
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get install -q -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@" || exit 1
    command -v systemctl >/dev/null || exit 0
    for package in "${new[@]}"; do
        if is_installed "$package"; then
            as_root systemctl --quiet disable "${SERVICES[$package]}.service" || exit 1
        fi
    done
)

# configure_in DIR [ARGUMENT...]: configures the sources in DIR unless it is done already.
configure_in() {
    [ ! -e "$root/config.status" ] || [ "$1" = "$root" ] ||
        die "$root is configured itself, so that nothing can be built outside of it: run \"make distclean\" there first"
    local dir=$1
    shift
    [ -e "$root/configure" ] || "$root/autogen.sh"
    [ ! -e "$dir/Makefile" ] || return 0
    mkdir -p "$dir"
    (cd "$dir" && "$root/configure" --quiet "$@")
}
