"""A simulated micro-controller on a serial line (a pty), and the program that speaks to it.

serve LINK FLASH PLAN   the controller: LINK leads to its port, FLASH is a file that survives its
                        power. PLAN may hold a number: power fails after so many bytes were written
loader PORT VERB        version, erase, write, digest, boot

Its boot loader is read-only and always answers. The application starts only when the flash holds
what was marked bootable.
"""

import hashlib
import os
import select
import sys
import tty

CHUNK = 128
ANSWER_S = 5.0


class Controller:
    def __init__(self, flash, plan):
        self.flash, self.plan = flash, plan

    def read(self):
        try:
            with open(self.flash, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def digest(self):
        return hashlib.sha256(self.read()).hexdigest()

    def mark(self, text):
        with open(self.flash + ".boot", "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def bootable(self):
        try:
            with open(self.flash + ".boot") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def write(self, piece):
        limit = None
        if os.path.exists(self.plan):
            with open(self.plan) as file:
                limit = int(file.read())
        room = len(piece) if limit is None else max(0, limit - len(self.read()))
        with open(self.flash, "ab") as file:
            file.write(piece[:room])
        if limit is not None and room <= len(piece):
            os.remove(self.plan)
            os._exit(9)  # the power fails

    def answer(self, line):
        word, _, rest = line.partition(" ")
        if word == "version":
            data = self.read()
            if self.bootable() != self.digest() or not data.startswith(b"version="):
                return ""
            return data.split(b"\n")[0][len(b"version=") :].decode()
        if word == "erase":
            self.mark("")
            with open(self.flash, "wb"):
                pass
            return "ok"
        if word == "write":
            self.write(bytes.fromhex(rest))
            return "ok"
        if word == "digest":
            return self.digest()
        if word == "boot":
            self.mark(self.digest())
            return "ok"
        return "what?"


def serve(link, flash, plan):
    controller = Controller(flash, plan)
    master, slave = os.openpty()
    tty.setraw(slave)
    tty.setraw(master)
    beside = f"{link}.new"
    os.symlink(os.ttyname(slave), beside)
    os.replace(beside, link)
    line = b""
    while True:
        for byte in os.read(master, 4096):
            if byte != 10:
                line += bytes([byte])
                continue
            answer = controller.answer(line.decode())
            line = b""
            os.write(master, answer.encode() + b"\n")


class Port:
    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd)

    def ask(self, line):
        os.write(self.fd, line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self.fd], [], [], ANSWER_S)
            piece = os.read(self.fd, 4096) if ready else b""
            if piece == b"":
                sys.exit("the controller does not answer")
            answer += piece
        return answer.decode().strip()


def loader(path, verb):
    port = Port(path)
    if verb == "write":
        while piece := sys.stdin.buffer.read(CHUNK):
            if port.ask("write " + piece.hex()) != "ok":
                sys.exit("the controller does not take it")
    elif verb in ("erase", "boot"):
        if port.ask(verb) != "ok":
            sys.exit("the controller does not do it")
    else:
        print(port.ask(verb))


if __name__ == "__main__":
    try:
        {"serve": serve, "loader": loader}[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        sys.exit(f"port: {error}")
