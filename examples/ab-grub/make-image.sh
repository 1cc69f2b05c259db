#!/usr/bin/env bash
# Makes a disk that boots: GRUB for a BIOS, two system slots, a data partition. Needs no root, mounts
# nothing, and takes all of it from Debian packages and from this tree (`npm run build` before).
#
#   make-image.sh FOLDER [--version V] [--small | --agent-on-data] [--init FILE] [--data FOLDER]
#                 [--slot-only]
#
# FOLDER/slot.img is the image of one slot, of a system that says it is version V; FOLDER/disk.img is
# a disk with it in slot A and nothing in B. --small leaves Node and the agent out, --agent-on-data
# puts them on the data partition, where no update reaches them (a slot is small then, for tests),
# --init takes another first program, --data names files for the data partition, --slot-only makes
# no disk.
#
# Packages: grub-common grub-pc-bin busybox-static fdisk e2fsprogs, and a kernel, which fetch-kernel.sh
# downloads and unpacks. binutils makes the slot smaller.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
out=${1:?name a folder}
shift
version=1.0.0 init=$here/slot-init is_small=false agent_on_data=false with_disk=true data=
while [ $# -gt 0 ]; do
  case $1 in
    --version) version=${2:?} && shift ;;
    --init) init=${2:?} && shift ;;
    --small) is_small=true ;;
    --agent-on-data) is_small=true agent_on_data=true ;;
    --data) data=${2:?} && shift ;;
    --slot-only) with_disk=false ;;
    *) printf 'make-image.sh: what is %s?\n' "$1" >&2 && exit 2 ;;
  esac
  shift
done
export PATH="$PATH:/usr/sbin:/sbin"
mkdir -p "$out"
out=$(cd "$out" && pwd)

# In MiB: where a partition begins, and its size.
readonly GRUB_AT=1 BOOT_AT=2 BOOT_SIZE=8 A_AT=10 SLOT_SIZE=176 B_AT=186 DATA_AT=362 DATA_SIZE=192
readonly DISK_SIZE=555 SMALL_SIZE=32
readonly MODULES='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk
  failover net_failover virtio_net'

# ext4 without a journal: GRUB does not read one, and a slot is never written to while it runs.
file_system() { # FILE SIZE_MIB FOLDER [OPTIONS...]
  local file=$1 size=$2 folder=$3
  shift 3
  rm -f "$file"
  truncate -s "${size}M" "$file"
  mkfs.ext4 -q -F -d "$folder" -E root_owner=0:0,hash_seed=00000000-0000-4000-8000-000000000000 \
    -U 00000000-0000-4000-8000-000000000001 -m 0 "$@" "$file"
}

initramfs() { # FILE
  local root=$work/initramfs
  mkdir -p "$root"/{bin,dev,proc,sys,slot,modules}
  cp /usr/bin/busybox "$root/bin/busybox"
  for name in sh mount umount insmod cat sed grep cut sleep switch_root; do
    ln -sf busybox "$root/bin/$name"
  done
  cp "$here/initramfs-init" "$root/init"
  chmod 755 "$root/init"
  for module in $MODULES; do
    find "$kernel/lib/modules" -name "$module.ko" -exec cp {} "$root/modules/" \;
    printf '%s\n' "$module" >>"$root/modules/order"
  done
  (cd "$root" && find . | sort | busybox cpio -o -H newc -R 0:0 2>/dev/null) | gzip -1 -n >"$1"
}

# A slot is the whole system: kernel, busybox, Node, the agent. Never what belongs to one robot.
slot() { # FILE
  local root=$work/slot
  rm -rf "$root"
  mkdir -p "$root"/{boot,bin,sbin,usr/bin,usr/share,opt/drover/dist,opt/drover/robot-client,etc}
  mkdir -p "$root"/{dev,proc,sys,tmp,run,data,grub,lib64}
  cp "$kernel"/boot/vmlinuz-* "$root/boot/vmlinuz"
  initramfs "$root/boot/initrd.img"
  cp /usr/bin/busybox "$root/bin/busybox"
  for name in $(busybox --list); do
    case $name in busybox | */*) ;; *) ln -sf /bin/busybox "$root/bin/$name" ;; esac
  done
  [ "$is_small" = true ] || agent "$root"
  [ "$agent_on_data" = false ] || links_to_data "$root"
  mkdir -p "$root/etc/drover/hooks.d"
  cp "$init" "$root/sbin/init"
  cp "$here/robot-start" "$root/sbin/robot-start"
  cp "$here/health" "$root/etc/drover/hooks.d/health"
  chmod 755 "$root"/sbin/* "$root"/etc/drover/hooks.d/*
  printf '%s\n' "$version" >"$root/etc/version"
  local size=$SLOT_SIZE
  [ "$is_small" = false ] || size=$SMALL_SIZE
  file_system "$1" "$size" "$root" -O ^has_journal
}

# The same paths as in a slot that holds the agent itself.
links_to_data() { # FOLDER
  local path
  rmdir "$1/lib64" "$1/opt/drover/dist" "$1/opt/drover/robot-client" "$1/opt/drover"
  for path in lib lib64 opt/drover usr/bin/node usr/bin/flock usr/bin/drover-robot; do
    ln -s "/data/agent/$path" "$1/$path"
  done
}

# A program with its libraries, where it looks for them.
program() { # FOLDER FILE NAME
  cp "$2" "$1/usr/bin/$3"
  ldd "$2" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$1$(dirname "$library")"
    cp -L "$library" "$1$library"
  done
}

agent() { # FOLDER
  local root=$1
  mkdir -p "$root"/{usr/bin,opt/drover/dist,opt/drover/robot-client}
  # The agent locks its root with flock, which Debian's busybox does not have.
  program "$root" "$(readlink -f "$(command -v node)")" node
  program "$root" "$(command -v flock)" flock
  strip "$root/usr/bin/node" 2>/dev/null || true
  cp "$top/dist/drover-robot.js" "$root/opt/drover/dist/"
  cp "$top/package.json" "$root/opt/drover/"
  cp "$top/robot-client/drover-robot" "$root/opt/drover/robot-client/"
  ln -s /opt/drover/robot-client/drover-robot "$root/usr/bin/drover-robot"
}

# The first sectors of the disk and the partition "grub" hold GRUB itself; the rest of it is a file.
grub() { # DISK
  local root=$work/boot modules
  modules='biosdisk part_gpt ext2 normal configfile linux echo test regexp loadenv serial terminal sleep reboot'
  modules="$modules setpci memrw"
  mkdir -p "$root/grub/i386-pc"
  cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst "$root/grub/i386-pc/"
  cp "$here/grub.cfg" "$here/drover.cfg" "$root/grub/"
  # A is confirmed, B holds nothing.
  for copy in 1 2; do
    node --input-type=module -e "
      import { encodeGrubEnv } from '$top/dist/robot-client/boot/grub-env.js';
      process.stdout.write(encodeGrubEnv({ confirmed: 'A', other: 'x' }));
    " >"$root/grub/drover-$copy.env"
  done
  file_system "$work/boot.img" "$BOOT_SIZE" "$root" -O ^has_journal
  # shellcheck disable=SC2086 # a list of words
  grub-mkimage -O i386-pc -o "$work/core.img" -p '(hd0,gpt2)/grub' $modules
  cp /usr/lib/grub/i386-pc/boot.img "$work/boot-sector"
  # Where the first sector finds the rest (its offset 0x5c), and where that goes on (offset 500).
  little_endian $((GRUB_AT * 2048)) | write "$work/boot-sector" 92
  little_endian $((GRUB_AT * 2048 + 1)) | write "$work/core.img" 500
  head -c 440 "$work/boot-sector" | write "$1" 0
  write "$1" $((GRUB_AT * 1048576)) <"$work/core.img"
}

little_endian() { # NUMBER: eight bytes
  local number=$1 at
  for at in 0 1 2 3 4 5 6 7; do
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((number >> (8 * at) & 255)))"
  done
}

write() { # FILE OFFSET, from standard input
  dd of="$1" bs=64K seek="$2" oflag=seek_bytes conv=notrunc,sparse iflag=fullblock status=none
}

disk() { # FILE
  rm -f "$1"
  truncate -s "${DISK_SIZE}M" "$1"
  sfdisk --quiet "$1" <<PARTITIONS
label: gpt
start=${GRUB_AT}MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name=grub
start=${BOOT_AT}MiB, size=${BOOT_SIZE}MiB, name=boot
start=${A_AT}MiB, size=${SLOT_SIZE}MiB, name=slot-a
start=${B_AT}MiB, size=${SLOT_SIZE}MiB, name=slot-b
start=${DATA_AT}MiB, size=${DATA_SIZE}MiB, name=data
PARTITIONS
  grub "$1"
  write "$1" $((BOOT_AT * 1048576)) <"$work/boot.img"
  write "$1" $((A_AT * 1048576)) <"$out/slot.img"
  mkdir -p "$work/data"
  [ "$agent_on_data" = false ] || agent "$work/data/agent"
  [ -z "$data" ] || cp -r "$data/." "$work/data/"
  file_system "$work/data.img" "$DATA_SIZE" "$work/data"
  write "$1" $((DATA_AT * 1048576)) <"$work/data.img"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernel=$("$here/fetch-kernel.sh")
slot "$out/slot.img"
[ "$with_disk" = false ] || disk "$out/disk.img"
