#!/bin/sh
# Signs with an Ed25519 key in a PKCS#11 token, by OpenSC's pkcs11-tool: message on standard input,
# 64 bytes on standard output. The PIN is read from a file that only you can read.
#
#   drover sign bundles/1.4.2 --public-key release.pub \
#     --sign-command 'sh examples/signing/pkcs11.sh /usr/lib/softhsm/libsofthsm2.so release pin'
set -eu

module=$1 label=$2 pin_file=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/message"
DROVER_PIN=$(cat "$pin_file")
export DROVER_PIN
pkcs11-tool --module "$module" --login --pin env:DROVER_PIN --sign --mechanism EDDSA \
  --label "$label" --input-file "$folder/message" --output-file "$folder/signature" >&2
cat "$folder/signature"
