#!/usr/bin/env bash
# Prints the folder of Debian's newest kernel for virtual machines: downloaded and unpacked, never
# installed, and kept for the next time (DROVER_KERNEL_CACHE, else /var/tmp/drover-kernel).
set -euo pipefail
cache=${DROVER_KERNEL_CACHE:-/var/tmp/drover-kernel}
readonly META=linux-image-cloud-amd64

newest() { apt-cache depends "$META" 2>/dev/null | sed -n 's/.*Depends: //p' | head -n 1; }

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -e "$cache/unpacked" ]; then
  name=$(newest)
  # Images of containers come without the lists of packages.
  [ -n "$name" ] || { apt-get -qq update >&2 && name=$(newest); }
  [ -n "$name" ] || { printf 'fetch-kernel: no %s in the lists of apt\n' "$META" >&2 && exit 1; }
  (cd "$cache" && apt-get -qq -o Acquire::Retries=2 download "$name" >&2)
  dpkg-deb -x "$cache/$name"_*.deb "$cache"
  rm "$cache/$name"_*.deb
  touch "$cache/unpacked"
fi
printf '%s\n' "$cache"
