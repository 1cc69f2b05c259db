#!/bin/sh
# Boots a disk that make-image.sh made, with its serial console on this terminal. Ctrl-a x ends it.
# In the machine, 10.0.2.2 is this computer.
exec qemu-system-x86_64 -machine pc -m 512 -nographic -no-user-config -nodefaults \
  -serial mon:stdio -drive "file=${1:?name the disk},format=raw,if=virtio" \
  -nic user,model=virtio-net-pci -device i6300esb
