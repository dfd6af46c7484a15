# SPDX-License-Identifier: MIT
"""What objects cost that are made, shared, let go, and looked for by the collector of cycles.

    python refcount.py refcount

All times are of a million objects, whatever --count says; the collector is off but where it is what
is measured. An object that nothing points to any more is released at once, by the count; objects
that point at each other wait for the collector, which looks at everything that can be part of a
cycle: that is its pause, whether it finds anything or not. Since 3.12 None, small integers and the
like are immortal: nobody counts them.
"""
from __future__ import print_function

import gc
import sys

import common
from common import clock, note, quantile, sample

CHUNK = 50  # objects between two looks at the clock


class Node(object):
    def __init__(self, other):
        self.other = other


def per_million(seconds, count):
    return seconds * 1e3 * 1e6 / count


def timed(function, *arguments):
    begin = clock()
    result = function(*arguments)
    return clock() - begin, result


def counting(count):
    """Making, sharing and releasing, without cycles."""
    seconds, nodes = timed(lambda: [Node(None) for _ in range(count)])
    sample("create_ms", "ms", per_million(seconds, count))
    shares, drops = [], []
    for _ in range(5):
        seconds, copy = timed(list, nodes)
        shares.append(seconds)
        begin = clock()
        del copy
        drops.append(clock() - begin)
    sample("share_ms", "ms", per_million(quantile(shares, 0.5), count))
    sample("unshare_ms", "ms", per_million(quantile(drops, 0.5), count))
    nothing, shares = [None] * count, []
    for _ in range(5):
        shares.append(timed(list, nothing)[0])
    sample("share_none_ms", "ms", per_million(quantile(shares, 0.5), count))
    begin = clock()
    del nodes
    sample("release_ms", "ms", per_million(clock() - begin, count))


def ring():
    first = Node(None)
    first.other = Node(first)


def cycles(count):
    """The collector, over so many objects that live, and as many that are garbage."""
    gc.collect()
    live = [Node(None) for _ in range(count)]
    seconds, found = timed(gc.collect)
    sample("scan_ms", "ms", per_million(seconds, count))
    del live
    gc.collect()
    for _ in range(count // 2):
        ring()
    seconds, found = timed(gc.collect)
    if common.is_cpython() and found < count // 2 * 2:
        raise common.CannotMeasure("the collector found %d of %d objects" % (found, count))
    sample("collect_ms", "ms", per_million(seconds, count))


class Watch(object):
    """The pauses of the collector, as it tells them (3.3 and later)."""

    def __init__(self):
        self.pauses = []
        self.began = 0.0

    def __call__(self, phase, _):
        if phase == "start":
            self.began = clock()
        else:
            self.pauses.append(clock() - self.began)


def pauses(count):
    """A program that keeps what it makes, with the collector on: how long it is held up."""
    watch = Watch()
    told = hasattr(gc, "callbacks")
    if told:
        gc.callbacks.append(watch)
    kept = []
    gc.enable()
    begin = last = clock()
    for _ in range(count // CHUNK):
        kept.extend([Node(None) for _ in range(CHUNK)])
        if not told:
            now = clock()
            watch.pauses.append(now - last)
            last = now
    seconds = clock() - begin
    gc.disable()
    if told:
        gc.callbacks.remove(watch)
        sample("collections", "count", len(watch.pauses))
        sample("collector_percent", "percent", 100 * sum(watch.pauses) / seconds)
    sample("keep_ms", "ms", per_million(seconds, count))
    sample("pause_max_ms", "ms", max(watch.pauses) * 1e3 if watch.pauses else 0)


def note_kind():
    if not common.is_cpython():
        note("counts", "objects are not counted: all garbage waits for the collector")
    elif not common.has_global_lock():
        note("counts", "biased: the owner's count is plain, the others' is atomic")
    elif sys.version_info >= (3, 12):
        note("counts", "plain; None, small integers and the like are immortal and not counted")
    else:
        note("counts", "plain, of every object, None among them")
    if hasattr(gc, "get_threshold"):
        note("thresholds", "gc.get_threshold() is %s" % (gc.get_threshold(),))
    note("pauses", "as gc.callbacks tells them" if hasattr(gc, "callbacks") else
         "the longest time for %d objects: there is no gc.callbacks" % CHUNK)


def refcount(options):
    gc.disable()
    count = max(options["count"], 2 * CHUNK)
    for _ in range(options["samples"]):
        counting(count)
        cycles(count)
        gc.collect()
        pauses(count)
        gc.collect()
    note_kind()
    common.note_build()


EXPERIMENTS = {
    "refcount": (refcount, {"count": 100000, "samples": 1}),
}

if __name__ == "__main__":
    sys.exit(common.main(EXPERIMENTS, sys.argv[1:]))
