# SPDX-License-Identifier: MIT
"""Python objects touched by the thread that made them and by another one.

    python affinity.py affinity --owner 90 --mode concurrent

A thread makes objects; it does --owner percent of the touches, a second thread on another CPU the
rest: one after the other (serial) or both at once (concurrent). A touch takes a reference and drops
it. The time of a touch is that of both threads over the touches of both, as in the C program of the
same name.

With the global lock an object has one plain count and no owner: whoever has the lock counts, and
two threads at once take turns, so that each waits about as long as it works. Free-threaded builds
(3.13t) bias the count: the owner counts in a field of its own, without atomic instructions, others
in a second field with them.
"""
from __future__ import print_function

import sys
import threading

import common
from common import CannotMeasure, clock, note, sample, side_by_side

OBJECTS = 64


class Thing(object):
    def __init__(self, value):
        self.value = value


def touch(things, touches):
    """Seconds that so many touches take: a reference to each thing in turn, taken and dropped."""
    passes = max(touches // len(things), 1)
    begin = clock()
    for _ in range(passes):
        for thing in things:
            pass
    return clock() - begin


def window(options, cpus):
    """Nanoseconds of a touch."""
    touches = max(options["iterations"], OBJECTS)
    mine = touches * options["owner"] // 100
    made = threading.Event()
    things = []
    times = [0.0, 0.0]

    def own():
        things.extend(Thing(i) for i in range(OBJECTS))
        if options["mode"] == "concurrent":
            made.set()
        times[0] = touch(things, mine) if mine else 0.0
        made.set()
        turn.acquire()  # the owner lives on until the other has done its part

    def use():
        made.wait()
        times[1] = touch(things, touches - mine) if touches > mine else 0.0
        turn.release()

    turn = threading.Lock()
    turn.acquire()
    side_by_side([own, use], cpus[:2])
    return sum(times) / touches * 1e9


def affinity(options):
    if options["owner"] > 100:
        raise CannotMeasure("--owner is a percentage")
    cpus = common.allowed_cpus()
    if len(cpus) < 2:
        raise CannotMeasure("an owner and another thread need two CPUs; here is one")
    window(options, cpus)
    for _ in range(options["samples"]):
        switches = common.context_switches() if common.resource else 0
        sample("object_ns", "ns", window(options, cpus))
        if common.resource:
            sample("switches", "count", common.context_switches() - switches)
    if not common.is_cpython():
        note("counts", "no reference counts: objects have no owner")
    elif common.has_global_lock():
        note("counts", "one plain count, kept by the global lock; objects have no owner")
    else:
        note("counts", "biased: the owner's count is plain, the others' is atomic; "
             "the interpreter does not tell how often it merges them")


EXPERIMENTS = {
    "affinity": (affinity, {"owner": 90, "mode": ("serial", "concurrent"), "iterations": 100000,
                            "samples": 5}),
}

if __name__ == "__main__":
    sys.exit(common.main(EXPERIMENTS, sys.argv[1:]))
