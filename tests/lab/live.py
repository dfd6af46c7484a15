#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The live view on a terminal: what is drawn, keys, and that the terminal is given back as it was.
Prints TAP.

    live.py PROBE-PAGE [PATTERN...]     patterns choose tests by name
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True

from harness import Skip, check, check_eq, check_in, main, test  # noqa: E402

PROGRAM = None
LIMIT = 30
UNKNOWN = "unheard-of"


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, place, line, term="xterm-256color", rows=24, columns=100,
                 folder=None):
        self.text = b""
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        env = dict(os.environ, TERM=term, TMPDIR=folder or place.root, LC_ALL="C.UTF-8",
                   NO_COLOR="")
        if term == UNKNOWN:  # ncurses forgets memory when it gives up
            env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        self.process = subprocess.Popen(line, stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, start_new_session=True, env=env)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize_meanwhile(self, rows, columns):
        self.resize(rows, columns)
        self.process.send_signal(signal.SIGWINCH)  # which it is not the terminal's own to get

    def read(self, wait):
        if select.select([self.master], [], [], wait)[0]:
            self.text += os.read(self.master, 65536)

    def plain(self):
        """What was written, without what moves about and colours."""
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|\([A-Z0-9]|[=>78])", "",
                      self.text.decode("utf-8", "replace"))

    def wait_for(self, word, after=0):
        end = time.time() + LIMIT
        while word not in self.plain()[after:]:
            check(time.time() < end, "no '%s' in:\n%s" % (word, self.plain()[-2000:]))
            self.read(0.05)

    def key(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """The exit status, when all was read."""
        end = time.time() + LIMIT
        while self.process.poll() is None:
            check(time.time() < end, "it does not end:\n%s" % self.plain()[-2000:])
            self.read(0.05)
        self.read(0.05)
        self.after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        return self.process.returncode


def has_curses():
    with open(PROGRAM, "rb") as f:
        if b"libncursesw.so.6" not in f.read():
            raise Skip("built without ncurses (Debian: libncurses-dev)")


@test
def the_view_is_drawn_and_given_back(place):
    has_curses()
    t = Terminal(place, [PROGRAM, "gil", "live", "60"])
    t.wait_for("hand-overs")
    t.wait_for("second")
    check_in("heddle gil: python3 app.py", t.plain())
    check_in("STATES", t.plain())
    t.key("s")
    t.wait_for("waiting")
    t.key("q")
    check_eq(t.end(), 0)
    check_eq(t.after, t.before, "the terminal's settings")
    check(t.text.rindex(b"\x1b[?1049l") > t.text.rindex(b"\x1b[?1049h"), "the screen is not back")
    check_in("how it ended: by the user", t.plain())


@test
def what_the_command_writes_comes_when_the_view_ends(place):
    has_curses()
    t = Terminal(place, [PROGRAM, "gil", "live", "1"])
    check_eq(t.end(), 0)
    check_eq(t.text.count(b"said meanwhile"), 1)
    check(t.text.index(b"said meanwhile") > t.text.rindex(b"\x1b[?1049l"))
    check_in("how it ended: by itself", t.plain())
    check_eq([n for n in os.listdir(place.root) if n.startswith("heddle-live")], [])


@test
def what_the_command_writes_is_not_lost_where_it_goes_on(place):
    has_curses()
    t = Terminal(place, [PROGRAM, "gil", "goes-on", "1"])
    check_eq(t.end(), 0)
    check_in("the command goes on; what it writes from now on is in '", t.plain())
    name = re.search("is in '([^']*)'", t.plain()).group(1)
    end = time.time() + LIMIT
    while "said afterwards" not in open(name).read():
        check(time.time() < end, "'%s' has: %s" % (name, open(name).read()))
        time.sleep(0.05)


@test
def nothing_is_left_where_it_is_killed(place):
    has_curses()
    t = Terminal(place, [PROGRAM, "gil", "live", "60"])
    t.wait_for("hand-overs")
    t.process.kill()
    check_eq(t.end(), -signal.SIGKILL)
    check_eq([n for n in os.listdir(place.root) if n.startswith("heddle-live")], [])


@test
def a_folder_that_cannot_be_written_is_said(place):
    no_folder = place.write("file", "")
    t = Terminal(place, [PROGRAM, "gil", "live", "1"], folder=no_folder)
    check_eq(t.end(), 3)
    check_in("--live cannot keep the command's output in '%s/" % no_folder, t.plain())


@test
def the_view_follows_the_size_of_the_terminal(place):
    has_curses()
    t = Terminal(place, [PROGRAM, "gil", "live", "60"], rows=24, columns=100)
    t.wait_for("THREAD")
    size = len(t.plain())
    t.resize_meanwhile(8, 40)
    t.wait_for("THREAD", size)
    t.key("q")
    check_eq(t.end(), 0)


@test
def an_unknown_terminal_gets_a_table(place):
    t = Terminal(place, [PROGRAM, "gil", "live", "1"], term=UNKNOWN)
    check_eq(t.end(), 0)
    check_in("--live is a plain table: ", t.plain())
    check_in("THREAD", t.plain())
    check(b"\x1b" not in t.text, "an escape sequence")


@test
def without_a_terminal_it_is_a_table(place):
    p = subprocess.run([PROGRAM, "threads", "live", "1"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
    check_eq(p.returncode, 0)
    text = (p.stdout + p.stderr).decode()
    check_in("THREAD", text)
    check_in("first", text)
    check_in("said meanwhile", p.stdout.decode())
    check("\x1b" not in text, "an escape sequence")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = os.path.abspath(sys.argv[1])
    main([sys.argv[0], PROGRAM] + sys.argv[2:])
