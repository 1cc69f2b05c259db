"""The other side of DESIGN 3.1, with the real library: reads one JSON command, prints JSON."""

import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)


def message(bundle):
    manifest_bytes = (bundle / "manifest.json").read_bytes()
    payload_digest = hashlib.sha256((bundle / "payload.tar.gz").read_bytes()).digest()
    return manifest_bytes + payload_digest


def sign(bundle, key):
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
    return private.sign(message(bundle)).hex()


def verify(bundle, key):
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    try:
        public.verify((bundle / "signature.sig").read_bytes(), message(bundle))
        return True
    except InvalidSignature:
        return False


command = json.load(sys.stdin)
verb = {"sign": sign, "verify": verify}[command["verb"]]
print(json.dumps(verb(pathlib.Path(command["bundle"]), command["key"])))
