"""Checks worked-example.json with nothing of Drover: Python's cryptography, hashlib, base64, json.

Written from docs/protocol.md alone, so that two readings of it are compared and not one with itself.
Prints one line for each thing checked; any failure is an AssertionError or InvalidSignature.
"""

import base64
import hashlib
import json
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

example = json.load(open(sys.argv[1], encoding="utf-8"))
keys, bundle = example["keys"], example["bundle"]


def sha256(data):
    return hashlib.sha256(data)


for role, key in keys.items():  # P-4.1
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key["seed"]))
    raw = private.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    assert raw.hex() == key["public_key"], role
    assert sha256(raw).hexdigest()[:16] == key["keyid"], role
    assert json.loads(example["trust_json"])["roles"][role]["keys"] == [key["public_key"]]
print("keys")

payload = bytes.fromhex(bundle["payload_hex"])
manifest = bundle["manifest_json"].encode()
assert manifest.hex() == bundle["manifest_hex"]
assert json.loads(manifest)["payload_sha256"] == sha256(payload).hexdigest()
release = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys["release"]["seed"]))
signature = release.sign(manifest + sha256(payload).digest())  # P-3.3
assert signature.hex() == bundle["signature_hex"]
print("bundle signature")

index = b"".join(  # P-7.3
    sha256(payload[at : at + bundle["chunk_size"]]).digest()
    for at in range(0, len(payload), bundle["chunk_size"])
)
assert index.hex() == bundle["chunk_index_hex"]
assert bundle["chunk_index_topic"] == "fleet-chunks/" + sha256(index).hexdigest()
print("chunk index")

rollout = Ed25519PublicKey.from_public_bytes(bytes.fromhex(keys["rollout"]["public_key"]))
for name in ["announcement", "progress"]:  # P-4.3, P-4.4
    envelope = json.loads(example[name]["message"])
    body = base64.b64decode(envelope["payload"], validate=True)
    assert body.decode() == example[name]["payload"]
    kind = ("application/vnd.drover.%s+json" % name).encode()
    assert envelope["payloadType"].encode() == kind
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)
    for one in envelope["signatures"]:
        rollout.verify(base64.b64decode(one["sig"], validate=True), signed)
        assert one["keyid"] == keys["rollout"]["keyid"]
    print("%s envelope" % name)

announced = json.loads(example["announcement"]["payload"])["rollouts"][0]
assert base64.b64decode(announced["manifest"]) == manifest
assert base64.b64decode(announced["signature"]) == signature
print("rollout")

for one in example["cohort"]:  # P-6.2
    digest = sha256(one["salt"].encode() + b"\0" + one["robot"].encode())
    assert digest.hexdigest() == one["sha256"]
    fraction = (int.from_bytes(digest.digest()[:8], "big") >> 11) / 2**53
    assert fraction == one["fraction"], one["robot"]
print("cohort")
