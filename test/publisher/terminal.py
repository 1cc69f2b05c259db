"""Runs a program on a pseudo-terminal and types lines at it when it asks.

usage: terminal.py PROMPT ANSWER PROGRAM [ARG...]

Copies what the terminal shows to standard output and ends with the program's exit code. When the
text PROMPT has been shown, ANSWER is typed once; an empty one closes the terminal's input (Ctrl-D).
"""

import os
import pty
import sys


def main(prompt, answer, command):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    shown = b""
    asked = False
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux: the other side is closed
            break
        if not piece:
            break
        os.write(1, piece)
        shown = (shown + piece)[-65536:]
        if not asked and prompt in shown:
            asked = True
            os.write(terminal, answer + b"\r" if answer else b"\x04")
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].encode(), sys.argv[2].encode(), sys.argv[3:]))
