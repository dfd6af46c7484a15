# SPDX-License-Identifier: MIT
"""Two threads that count, each in a place of its own, with the places near to each other or not.

    python falsesharing.py attributes

Two variables in one cache line make two cores wait for each other, although neither uses the
other's. In C a pad of 64 bytes between them ends that. In Python this does not:

    self.counter1 = 0
    self._pad1 = bytes(64)
    self.counter2 = 0

An attribute is a pointer in a table of the object; since 3.6 one after the other in the order in
which they came. The pad is one more pointer of 8 bytes; the 64 zeros lie elsewhere. So counter2 is
16 bytes from counter1 instead of 8, and most often in the same line as before. In 2.7 bytes(64) is
not even 64 bytes long, it is the text '64'; there the table has entries of 24 bytes, each where the
hash of its name says, so that any third attribute may happen to move the others apart or together.
The integers themselves are objects of their own, replaced with each addition.
Where the pointers lie is read out of the process's own memory, and printed as bytes between them.

With the global lock two threads never write at the same time, so that nothing is to be gained by
any distance: a line moves when the lock does, some hundred times a second. Only a free-threaded
build can show false sharing, and what it shows then includes the locks and counts of its objects.
"""
from __future__ import print_function

import struct
import sys

import common
from common import note, sample, side_by_side

WORD = struct.calcsize("P")
LINE = 64
INSTANCES = 50  # looked at for how often two counters share a line


class Shared(object):
    def __init__(self):
        self.counter1 = 0
        self.counter2 = 0


class Padded(object):
    def __init__(self):
        self.counter1 = 0
        self._pad1 = bytes(64)
        self.counter2 = 0


class Slots(object):
    __slots__ = ("counter1", "counter2")

    def __init__(self):
        self.counter1 = 0
        self.counter2 = 0


class Single(object):
    __slots__ = ("counter1",)

    def __init__(self):
        self.counter1 = 0


# ---- where things lie ----

class Memory(object):
    """The memory of this process, by address: reading what is not there does not crash."""

    def __init__(self):
        self.file = open("/proc/self/mem", "rb", 0)

    def words(self, address, count):
        try:
            self.file.seek(address)
            data = self.file.read(count * WORD)
        except (IOError, OSError, OverflowError, ValueError):
            return ()
        return struct.unpack("%dP" % (len(data) // WORD), data[:len(data) // WORD * WORD])

    def places(self, address, count, targets):
        """Where in these words the targets stand, if all of them do."""
        words = self.words(address, count)
        if not all(target in words for target in targets):
            return None
        return [address + words.index(target) * WORD for target in targets]

    def find(self, start, targets, depth=2):
        """Where pointers to all targets stand together: at the address, or behind pointers there.
        The two words before an object belong to the collector; they lead to other objects."""
        seen, now = set(), [(start - 4 * WORD, 2), (start, 12)]
        for _ in range(depth + 1):
            after = []
            for address, count in now:
                places = self.places(address, count, targets)
                if places:
                    return places
                for word in self.words(address, count):
                    word = (word + WORD - 1) // WORD * WORD  # low bits may be marks
                    if 65536 < word < 1 << 47 and word not in seen:
                        seen.add(word)
                        after.append((word, 32))
            now = after
        return None


def attribute_places(memory, one, other):
    """The addresses of the attribute counter1 of one object and of the last counter of the other
    (which may be the same); None if they cannot be found out."""
    name = "counter2" if one is other else "counter1"
    marks = [object(), object()]
    one.counter1, last = marks[0], setattr(other, name, marks[1])
    if one is other:
        places = memory.find(id(one), [id(mark) for mark in marks])
    else:
        places = [(memory.find(id(o), [id(mark)]) or [None])[0]
                  for o, mark in zip((one, other), marks)]
    if not places or None in places:
        return None
    # What was found must follow a change: else it is a copy, or chance.
    again = [object(), object()]
    one.counter1 = again[0]
    setattr(other, name, again[1])
    good = [memory.words(place, 1) == (id(mark),) for place, mark in zip(places, again)]
    one.counter1 = 0
    setattr(other, name, 0)
    return places if all(good) and last is None else None


def neighbours():
    """Two objects made one after the other that lie as near to each other as any two do."""
    keep = sorted((Single() for _ in range(INSTANCES)), key=id)
    at = min(range(INSTANCES - 1), key=lambda i: id(keep[i + 1]) - id(keep[i]))
    return keep[at], keep[at + 1], keep


def show_layout():
    """How far two counters are apart, in bytes, and how often they are in one cache line."""
    if not common.is_cpython():
        note("layout", "objects move: where they lie says nothing")
        return
    try:
        memory = Memory()
    except (IOError, OSError) as error:
        note("layout", "cannot be seen: %s" % error)
        return
    for name, make in (("attributes", Shared), ("padded", Padded), ("slots", Slots)):
        found = []
        for _ in range(INSTANCES):
            thing = make()
            places = attribute_places(memory, thing, thing)
            if places:
                found.append((thing, places))
        if not found:
            note("layout", "%s: not found in memory" % name)
            continue
        distances = sorted(abs(b - a) for _, (a, b) in found)
        together = sum(1 for _, (a, b) in found if a // LINE == b // LINE)
        sample(name + "_bytes", "bytes", distances[len(distances) // 2])
        if name != "slots":
            sample(name + "_same_line_percent", "percent", 100.0 * together / len(found))
    one, other, _ = neighbours()
    places = attribute_places(memory, one, other)
    if places:
        sample("neighbours_bytes", "bytes", abs(places[1] - places[0]))


# ---- counting ----

def increments(name):
    """A function that adds 1 to an attribute, again and again."""
    source = common.repeated("thing.%s += 1" % name, 10, arguments="repeat, thing")
    return common.define(source)["run"]


def stores(index):
    """A function that writes a byte at an index, again and again."""
    source = common.repeated("view[%d] = value" % index, 10, arguments="repeat, view, value")
    return common.define(source)["run"]


def counting(name, thing, turns):
    run, repeat = increments(name), [None] * turns

    def work():
        run(repeat, thing)
    return work


def storing(index, view, turns):
    run, repeat = stores(index), [None] * turns
    value = 1 if sys.version_info[0] > 2 else b"1"

    def work():
        run(repeat, view, value)
    return work


def cases(turns):
    """(name, functions to run side by side, what must stay alive)"""
    def pair(first, second, names=("counter1", "counter2")):
        return [counting(names[0], first, turns), counting(names[1], second, turns)]

    alone, far = Shared(), [Shared() for _ in range(2000)]
    yield "alone", [counting("counter1", alone, turns)], alone
    yield "separate", pair(far[0], far[-1]), far
    for name, make in (("attributes", Shared), ("padded", Padded), ("slots", Slots)):
        thing = make()
        yield name, pair(thing, thing), thing
    one, other, keep = neighbours()
    yield "neighbours", pair(one, other, ("counter1", "counter1")), keep
    for index in (1, 256):
        view = memoryview(bytearray(1024))
        yield "view_%d" % index, [storing(0, view, turns), storing(index, view, turns)], view
    same = Shared()
    yield "same", pair(same, same, ("counter1", "counter1")), same


def falsesharing(options):
    if options["threads"] != 2:
        raise common.CannotMeasure("the places are for two threads")
    turns = max(options["iterations"] // 10, 1)
    cpus = common.allowed_cpus()
    show_layout()
    for _, work, _ in cases(turns // 10 + 1):
        for function in work:
            function()
    for _ in range(options["samples"]):
        for name, work, _ in cases(turns):
            seconds, _ = side_by_side(work, cpus[:2])
            sample(name + "_ns", "ns", seconds / (turns * 10 * len(work)) * 1e9)
    note("means", "the time until both threads have counted, by the number of all additions")
    if not common.is_cpython():
        note("pad", "where the attributes of an object lie is this implementation's own matter")
    elif sys.version_info[0] == 2:
        note("pad", "bytes(64) is the text '64' in this version; the pad is one more entry of 24 "
             "bytes in the table of attributes, where the hash of each name says its place")
    else:
        note("pad", "the pad is a pointer to 64 zeros elsewhere: 8 bytes in the table of "
             "attributes, not 64")
    if common.has_global_lock():
        note("sharing", "the global lock lets one thread write at a time: no distance can help")


EXPERIMENTS = {
    "attributes": (falsesharing, {"threads": 2, "iterations": 50000, "samples": 3}),
}

if __name__ == "__main__":
    sys.exit(common.main(EXPERIMENTS, sys.argv[1:]))
