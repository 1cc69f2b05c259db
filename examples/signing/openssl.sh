#!/bin/sh
# Signs with an Ed25519 key in a PEM file, by OpenSSL 3: message on standard input, 64 bytes on
# standard output. With an engine or provider of OpenSSL the key may be a reference instead.
#
#   drover sign bundles/1.4.2 --public-key release.pub \
#     --sign-command 'sh examples/signing/openssl.sh release.pem'
set -eu

key=$1
message=$(mktemp)
trap 'rm -f "$message"' EXIT
cat >"$message" # OpenSSL wants to know the length of the message
openssl pkeyutl -sign -rawin -inkey "$key" -in "$message"
