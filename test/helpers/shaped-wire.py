"""A wire between two network namespaces that is as slow, long and lossy as its arguments say.

usage: shaped-wire.py NAME BITS_PER_SECOND RTT_MS LOSS QUEUE_BYTES SEED CONGESTION_CONTROL

Makes the namespaces NAME-far (10.77.0.1) and NAME-near (10.77.0.2), a TUN device in each, and
carries IP packets between them: real TCP stacks stand at both ends and see a real bottleneck. Each
way has its own queue of QUEUE_BYTES (what does not fit is dropped), then BITS_PER_SECOND, then half
of RTT_MS; a packet is lost with probability LOSS, drawn from SEED. TCP over it is controlled by
CONGESTION_CONTROL, whatever this machine prefers. For kernels without `tc netem`.

A line on stdin is a command, answered by one line of JSON: `mark` sets the counters to zero and
begins again with SEED, `read` tells the counters. At the end of stdin both namespaces are removed,
so a wire never outlives the process that made it, however that one ends. It must never touch a
device that it did not make.
"""

import collections
import fcntl
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MTU = 1500
# A full TCP segment of a transfer, which an acknowledgement or a small message is not.
LARGE_PACKET = 600
SIDES = {"far": "10.77.0.1", "near": "10.77.0.2"}


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check, stdin=subprocess.DEVNULL, capture_output=not check)


def open_side(name, side, control):
    """Returns the descriptor of a TUN device that stands in the namespace of this side."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    device = f"{name}{side[0]}"[:15]
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    space = f"{name}-{side}"
    ip("netns", "add", space)
    ip("link", "set", device, "netns", space)
    ip("-n", space, "link", "set", "lo", "up")
    ip("-n", space, "addr", "add", f"{SIDES[side]}/24", "dev", device)
    ip("-n", space, "link", "set", device, "mtu", str(MTU), "txqueuelen", "2000", "up")
    # By route, since namespaces may choose among few only: `tcp_allowed_congestion_control`.
    route = ["10.77.0.0/24", "dev", device, "src", SIDES[side], "congctl", control]
    ip("-n", space, "route", "replace", *route)
    return fd


class Way:
    """One direction: a queue in front of a slow sender, and then the length of the wire."""

    def __init__(self, source, target, settings, seed):
        self.source, self.target = source, target
        self.seconds_per_byte = 8 / settings["bits_per_second"]
        self.delay = settings["rtt_ms"] / 2000
        self.loss = settings["loss"]
        self.queue_bytes = settings["queue_bytes"]
        self.seed = seed
        self.free_at = 0.0
        self.flying = collections.deque()  # (arrives at, packet), in the order of arrival
        self.mark()

    def mark(self):
        self.random = random.Random(self.seed)
        self.packets = self.bytes = self.lost = self.overflowed = self.longest_queue = 0
        self.first_at = self.last_large_at = None

    def counters(self):
        names = ("packets", "bytes", "lost", "overflowed", "longest_queue")
        return {name: getattr(self, name) for name in names} | {
            "first_ms": None if self.first_at is None else self.first_at * 1000,
            "last_large_ms": None if self.last_large_at is None else self.last_large_at * 1000,
        }

    def take(self):
        """Everything that waits to be sent; bounded, so that the other way has its turn."""
        for _ in range(64):
            try:
                packet = os.read(self.source, 65_536)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue  # router solicitations of IPv6
            now = time.monotonic()
            if self.first_at is None:
                self.first_at = now
            queued = max(0.0, self.free_at - now) / self.seconds_per_byte
            self.longest_queue = max(self.longest_queue, int(queued))
            if queued + len(packet) > self.queue_bytes:
                self.overflowed += 1
            elif self.random.random() < self.loss:
                self.lost += 1
            else:
                self.free_at = max(self.free_at, now) + len(packet) * self.seconds_per_byte
                self.flying.append((self.free_at + self.delay, packet))

    def deliver(self, now):
        while self.flying and self.flying[0][0] <= now:
            at, packet = self.flying.popleft()
            self.packets += 1
            self.bytes += len(packet)
            if len(packet) >= LARGE_PACKET:
                self.last_large_at = at
            os.write(self.target, packet)

    def next_at(self):
        return self.flying[0][0] if self.flying else None


def run(ways):
    """Until stdin ends."""
    down, up = ways
    rest = b""
    while True:
        times = [at for at in (way.next_at() for way in ways) if at is not None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        ready, _, _ = select.select([0, down.source, up.source], [], [], timeout)
        for way in ways:
            if way.source in ready:
                way.take()
        now = time.monotonic()
        for way in ways:
            way.deliver(now)
        if 0 not in ready:
            continue
        said = os.read(0, 4096)
        if not said:
            return
        *lines, rest = (rest + said).split(b"\n")
        for line in lines:
            if line == b"mark":
                for way in ways:
                    way.mark()
            answer = {"down": down.counters(), "up": up.counters()}
            print(json.dumps(answer), flush=True)


def main():
    name, bits_per_second, rtt_ms, loss, queue_bytes, seed, control = sys.argv[1:]
    settings = {
        "bits_per_second": float(bits_per_second),
        "rtt_ms": float(rtt_ms),
        "loss": float(loss),
        "queue_bytes": int(queue_bytes),
    }
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        far, near = open_side(name, "far", control), open_side(name, "near", control)
        down = Way(far, near, settings, f"{seed} down")
        up = Way(near, far, settings, f"{seed} up")
        print(json.dumps({"ready": True}), flush=True)
        run((down, up))
    finally:
        for side in SIDES:
            ip("netns", "del", f"{name}-{side}", check=False)


main()
