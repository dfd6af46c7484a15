# SPDX-License-Identifier: MIT
"""What the global interpreter lock costs threads that compute, and those beside them that wait.

    python gil.py gil --work countdown      one thread counts down, two on one core, two on two
    python gil.py gil --work convoy         an echo and a short sleep beside 0, 1, 2 busy threads

The lock was made anew in 3.2. Before, its owner let it go every sys.getcheckinterval() steps
of bytecode, and often had it back before the thread that it woke was on a CPU: with two cores the
two fight for it all the time. Since then a thread that waits (take_gil() in CPython's sources)
sleeps on a condition for sys.getswitchinterval(), 5 ms, and only then asks the owner to let go, who
waits until somebody else has it. That ended the fight, and made the convoy: a thread that waits
for input or for time loses the lock with each call that may block, and gets it back 5 ms later.
Free-threaded builds (3.13t) have no such lock.
"""
from __future__ import print_function

import os
import socket
import sys
import threading
import time

import common
from common import CannotMeasure, clock, join_all, note, sample, side_by_side, start_all

PAUSE_S = 0.002  # between two bytes: those that compute get the lock back


def note_lock():
    if not common.has_global_lock():
        note("lock", "none")
        note("lock_rule", "this build has no global lock: threads run at the same time")
    elif not common.is_cpython():
        note("lock", "other")
        note("lock_rule", "a global lock by rules of this implementation's own")
    elif hasattr(sys, "getswitchinterval"):
        note("lock", "new")
        note("lock_rule", "who waits in take_gil() asks for the lock after %.3g ms; the owner lets "
             "it go and waits until another has it" % (sys.getswitchinterval() * 1e3))
    else:
        note("lock", "old")
        note("lock_rule", "let go every %d steps of bytecode, and fought for"
             % sys.getcheckinterval())


def count_down(n):
    while n > 0:
        n -= 1


def countdown(options):
    """The same count by one thread, by two on one core, by two on two cores."""
    n = options["iterations"]
    cpus = common.allowed_cpus()

    def half():
        count_down(n)

    def whole():
        count_down(n)
        count_down(n)

    def live(name, work, on):
        switches = common.context_switches() if common.resource else 0
        used = common.cpu_seconds() if common.resource else 0
        seconds, _ = side_by_side(work, on)
        sample(name + "_ms", "ms", seconds * 1e3)
        if common.resource and len(work) > 1:
            sample(name + "_cpu_ms", "ms", (common.cpu_seconds() - used) * 1e3)
            sample(name + "_switches", "count", common.context_switches() - switches)

    note_lock()
    common.note_build()
    count_down(n // 10 + 1)
    for _ in range(options["samples"]):
        live("one_thread", [whole], cpus[:1])
        live("one_core", [half, half], cpus[:1])
        if len(cpus) > 1:
            live("two_cores", [half, half], cpus[:2])
    if len(cpus) < 2:
        raise CannotMeasure("two cores: this process may use one only")


class Busy(object):
    """Threads that compute until told to end."""

    def __init__(self, count):
        self.going = True
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.daemon = True
        start_all(self.threads)

    def run(self):
        while self.going:
            count_down(1000)

    def end(self):
        self.going = False
        join_all(self.threads)


def be_client(sock, wanted, answers):
    """The other end of the echo, a process of its own, which no lock holds up. It waits to be told
    how many bytes to send, one at a time, and writes the times that they took."""
    while True:
        number = wanted.readline()
        if not number.strip():
            os._exit(0)
        for _ in range(int(number)):
            time.sleep(PAUSE_S)
            begin = clock()
            sock.sendall(b"x")
            if not sock.recv(1):
                os._exit(1)
            os.write(answers, ("%.9g\n" % (clock() - begin)).encode())


class Echo(object):
    """A thread that answers bytes, and the process that sends them."""

    def __init__(self):
        mine, its = socket.socketpair()
        wanted, tell = os.pipe()
        told, answers = os.pipe()
        self.client = os.fork()
        if self.client == 0:
            mine.close()
            os.close(tell)
            try:
                be_client(its, os.fdopen(wanted), answers)
            finally:
                os._exit(1)
        for end in (wanted, answers):
            os.close(end)
        its.close()
        self.sock, self.tell, self.told = mine, tell, os.fdopen(told)
        self.thread = threading.Thread(target=self.answer)
        self.thread.daemon = True
        start_all([self.thread])

    def answer(self):
        while True:
            data = self.sock.recv(1)
            if not data:
                return
            self.sock.sendall(data)

    def times(self, count):
        os.write(self.tell, ("%d\n" % count).encode())
        lines = [self.told.readline() for _ in range(count)]
        if not lines[-1].strip():
            raise CannotMeasure("the client of the echo ended early")
        return [float(line) for line in lines]

    def close(self):
        os.close(self.tell)
        os.waitpid(self.client, 0)
        join_all([self.thread])
        self.sock.close()
        self.told.close()


def short_sleeps(count, seconds):
    times = []
    for _ in range(count):
        begin = clock()
        time.sleep(seconds)
        times.append(clock() - begin)
    return times


def convoy(options):
    """How long a thread that waits takes beside threads that compute. Every wait is a sample."""
    count = options["count"]
    echo = Echo()  # first of all: what is forked must have no threads
    note_lock()
    note("means", "echo: a byte from another process and back; sleep: time.sleep() of %d us; "
         "beside 0, 1, 2 threads that compute" % options["sleep-us"])
    for busy in (0, 1, 2):
        threads = Busy(busy)
        echo.times(1)
        for seconds in echo.times(count):
            sample("echo_%d_us" % busy, "us", seconds * 1e6)
        for seconds in short_sleeps(count, options["sleep-us"] / 1e6):
            sample("sleep_%d_us" % busy, "us", seconds * 1e6)
        threads.end()
    echo.close()


def gil(options):
    {"countdown": countdown, "convoy": convoy}[options["work"]](options)


EXPERIMENTS = {
    "gil": (gil, {"work": ("countdown", "convoy"), "iterations": 500000, "samples": 3,
                  "count": 20, "sleep-us": 100}),
}

if __name__ == "__main__":
    sys.exit(common.main(EXPERIMENTS, sys.argv[1:]))
