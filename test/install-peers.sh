#!/usr/bin/env bash
# Makes sure that the programs which the tests run against are there (`npm run setup`); with the word
# `bench` or `campaign`, which npm calls before those, some more.
# As root on Debian or Ubuntu it installs what is missing; elsewhere it says what to install, and
# fails only where nothing may be skipped (CI=true). It must never leave a service running that a
# package started: a mosquitto on port 1883 would answer tests that mean another broker.
set -euo pipefail

# <package>: <command that succeeds when it is there>. A new peer is one more line.
readonly PEERS='
mosquitto: command -v mosquitto || test -x /usr/sbin/mosquitto
nats-server: command -v nats-server || test -x /usr/sbin/nats-server
zstd: command -v zstd
jq: command -v jq
curl: command -v curl
openssl: command -v openssl
tar: command -v tar
strace: command -v strace
faketime: command -v faketime
systemd: command -v systemd-analyze
e2fsprogs: test -x /usr/sbin/mkfs.ext4 && test -x /usr/sbin/e2fsck
iproute2: command -v ip || test -x /usr/sbin/ip
util-linux: command -v nsenter
mount: command -v mount && command -v umount
qemu-system-common: command -v qemu-storage-daemon
grub-common: command -v grub-editenv
grub-pc-bin: test -e /usr/lib/grub/i386-pc/boot.img || test "$(uname -m)" != x86_64
qemu-system-x86: command -v qemu-system-x86_64
qemu-system-arm: command -v qemu-system-aarch64
u-boot-qemu: test -e /usr/lib/u-boot/qemu_arm64/u-boot.bin
busybox-static: command -v busybox
fdisk: command -v sfdisk || test -x /usr/sbin/sfdisk
libubootenv-tool: command -v fw_setenv
rauc: command -v rauc
dbus-daemon: command -v dbus-daemon
libeatmydata1: ls /usr/lib/*/libeatmydata.so.1
exfatprogs: command -v mkfs.exfat || test -x /usr/sbin/mkfs.exfat
exfat-fuse: command -v mount.exfat-fuse || test -x /usr/sbin/mount.exfat-fuse
age: command -v age && command -v age-keygen
attr: command -v setfattr
softhsm2: command -v softhsm2-util
opensc: command -v pkcs11-tool
openssh-client: command -v ssh-agent && command -v ssh-keygen
podman: command -v podman
chromium: command -v chromium
prometheus: command -v promtool
runc: command -v runc || test -x /usr/sbin/runc
catatonit: test -x /usr/bin/catatonit || test -x /usr/libexec/podman/catatonit
python3: test -x /usr/bin/python3
python3-cryptography: /usr/bin/python3 -c "import cryptography"
'
readonly BENCH_PEERS='
nginx: command -v nginx || test -x /usr/sbin/nginx
xfsprogs: command -v mkfs.xfs || test -x /usr/sbin/mkfs.xfs
btrfs-progs: command -v mkfs.btrfs || test -x /usr/sbin/mkfs.btrfs
squashfs-tools: command -v mksquashfs
swupdate: command -v swupdate
cpio: command -v cpio
mender-client: command -v mender
mender-artifact: command -v mender-artifact
'
readonly CAMPAIGN_PEERS='
rabbitmq-server: test -x /usr/lib/rabbitmq/bin/rabbitmq-server
'
# Packages of the lists that bring a service of their own.
readonly SERVICES='mosquitto nats-server nginx prometheus rabbitmq-server swupdate mender-client'
readonly POLICY=/usr/sbin/policy-rc.d

readonly PURPOSE=${1:-test}

missing_packages() {
  local package check wanted=$PEERS
  [ "$PURPOSE" != bench ] || wanted+=$BENCH_PEERS
  [ "$PURPOSE" != campaign ] || wanted+=$CAMPAIGN_PEERS
  while IFS=': ' read -r package check; do
    [ -n "$package" ] || continue
    bash -c "$check" >/dev/null 2>&1 </dev/null || printf '%s\n' "$package"
  done <<<"$wanted"
}

say() { printf 'install-peers: %s\n' "$*"; }

# Debian's own way to say "do not start what you install". One that stands there already stays.
forbid_service_starts() {
  [ ! -e "$POLICY" ] || return 0
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
  trap 'rm -f "$POLICY"' EXIT
}

# Only for packages that were not there before: a service that somebody set up is theirs.
stop_service() {
  if [ -d /run/systemd/system ]; then
    systemctl disable --now --quiet "$1" || say "could not stop the service $1; stop it yourself"
  elif [ -x "/etc/init.d/$1" ]; then
    "/etc/init.d/$1" stop >/dev/null 2>&1 || say "could not stop the service $1; stop it yourself"
  fi
}

apt_install() {
  local options=(-qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2)
  # A source that does not answer need not matter: the install says what it cannot find.
  apt-get "${options[@]}" update || say 'apt-get update had failures, going on'
  apt-get "${options[@]}" install -y --no-install-recommends "$@" >/dev/null
}

# Names the programs to install to a user who may not install them.
leave_to_person() {
  say "$1"
  say "install these yourself, or the tests that need them are skipped: $2"
  if [ "${CI:-}" = true ]; then exit 1; fi
  exit 0
}

# The kernel of the machine that test/boot starts: unpacked in a cache, never installed.
fetch_kernel() {
  [ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null || return 0
  "$(dirname "${BASH_SOURCE[0]}")/../examples/ab-grub/fetch-kernel.sh" >/dev/null ||
    say 'the kernel for test/boot could not be downloaded; its tests will try again'
}

mapfile -t missing < <(missing_packages)
if [ "${#missing[@]}" -eq 0 ]; then
  fetch_kernel
  exit 0
fi

command -v apt-get >/dev/null || leave_to_person 'this is not Debian or Ubuntu' "${missing[*]}"
[ "$(id -u)" -eq 0 ] || leave_to_person 'not root, so nothing is installed' "${missing[*]}"

say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
forbid_service_starts
apt_install "${missing[@]}" || { say 'trying once more'; apt_install "${missing[@]}"; } ||
  leave_to_person 'apt-get could not install everything' "$(missing_packages | tr '\n' ' ')"
for package in "${missing[@]}"; do
  if [[ " $SERVICES " == *" $package "* ]]; then stop_service "$package"; fi
done

mapfile -t missing < <(missing_packages)
[ "${#missing[@]}" -eq 0 ] || leave_to_person 'installed, but still not found' "${missing[*]}"
fetch_kernel
