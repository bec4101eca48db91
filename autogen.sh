#!/bin/sh
# Makes ./configure. Needed after a checkout only; a release tarball has it.
set -eu

cd "$(dirname "$0")"
missing=
for pair in autoreconf:autoconf automake:automake pkg-config:pkg-config; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
if [ -n "$missing" ]; then
    echo "autogen.sh: missing:$missing. Debian has it: apt-get install$missing" >&2
    exit 1
fi
exec autoreconf --force --install --warnings=all
