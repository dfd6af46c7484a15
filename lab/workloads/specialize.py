# SPDX-License-Identifier: MIT
"""What an operation costs by the types it meets, and what the interpreter makes of it.

    python specialize.py specialize

Each case is a function of its own with many copies of one operation, so that every copy is a site
that the interpreter may adapt. What there is to adapt:

    2.7            BINARY_ADD has a fast way for two ints built in
    3.0 to 3.7     BINARY_ADD asks the types each time (but for two strings)
    3.8, 3.9       LOAD_GLOBAL remembers the value, once a function was called 1024 times
    3.10           LOAD_ATTR remembers the place in the table of attributes, too
    3.11 and later instructions replace themselves: BINARY_OP by BINARY_OP_ADD_INT, LOAD_ATTR by
                   LOAD_ATTR_INSTANCE_VALUE, and so on, each with a check of its guess; a guess that
                   fails again and again is taken back and another one tried (free-threaded
                   builds: 3.14 and later)

"cold" is the first call of a function; "miss" are the first calls with floats of a function that
has only seen ints.
"""
from __future__ import print_function

import marshal
import sys
import types

import common
from common import clock, note, note_instructions, quantile, sample, time_per_turn, warm

SITES = 20
COLD_SITES = 100
COPIES = 40  # of a cold function


class Number(object):
    """A number with an addition written in Python."""

    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return self


class Slotted(object):
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def kinds(count):
    """Objects of so many classes, each with an attribute of the same name."""
    things = []
    for i in range(20):
        if i < count:
            names = {"__init__": Slotted.__dict__["__init__"]}
            made = type("Kind%d" % i, (object,), names)
        else:
            made = type(things[i % count])
        things.append(made(i))
    return things


ADD = "x = a + b"


def straight():
    """(name, statement, arguments): operations that always meet the same types."""
    return [
        ("int_add", ADD, (1000, 2000)),
        ("float_add", ADD, (1000.5, 2000.5)),
        ("mixed_add", ADD, (1000, 2000.5)),
        ("str_add", ADD, ("ab", "cd")),
        ("user_add", ADD, (Number(1), Number(2))),
        ("attribute", "x = a.value", (Number(1), None)),
        ("slot", "x = a.value", (Slotted(1), None)),
        ("global", "x = somewhere", (None, None)),
    ]


def over_types():
    """(name, statement, values): one site that meets a value after the other."""
    return [
        ("add_1_type", "x = v + v", [1000] * 20),
        ("add_2_types", "x = v + v", [1000, 2.5] * 10),
        ("load_1_type", "x = v.value", kinds(1)),
        ("load_2_types", "x = v.value", kinds(2)),
        ("load_8_types", "x = v.value", kinds(8)),
    ]


def make(statement):
    return common.define(common.repeated(statement, SITES, arguments="repeat, a, b"),
                         {"somewhere": 1})["run"]


def make_over(statement):
    """One site for all values: the loop is around it."""
    source = "def run(repeat, values):\n    for _ in repeat:\n        for v in values:\n" \
             "            %s\n" % statement
    return common.define(source)["run"]


def short(statement):
    """A function that does it once: for its listing."""
    return common.define("def run(repeat, a, b):\n    %s\n" % statement, {"somewhere": 1})["run"]


def fresh_copies(statement, count):
    """Functions whose sites have met nothing, not even those of a twin."""
    source = "def run(a, b):\n" + ("    %s\n" % statement) * COLD_SITES
    code = common.define(source)["run"].__code__
    frozen = marshal.dumps(code)
    return [types.FunctionType(marshal.loads(frozen), {}, "run") for _ in range(count)]


def timed_calls(functions, *arguments):
    """The nanoseconds of each site: the median of one call of each function."""
    times = []
    for function in functions:
        begin = clock()
        function(*arguments)
        times.append(clock() - begin)
    return quantile(times, 0.5) / COLD_SITES * 1e9


def cold_and_changed():
    """Additions as they are met first, when known, and when the types have changed."""
    functions = fresh_copies(ADD, COPIES)
    sample("add_cold_ns", "ns", timed_calls(functions, 1000, 2000))
    for function in functions:
        for _ in range(30):  # 3.11 and later adapt within a few calls
            function(1000, 2000)
    sample("add_warm_ns", "ns", timed_calls(functions, 1000, 2000))
    sample("add_miss_ns", "ns", timed_calls(functions, 1000.5, 2000.5))
    for function in functions:
        for _ in range(60):
            function(1000.5, 2000.5)
            function(1000, 2000)
    sample("add_unsettled_ns", "ns", timed_calls(functions, 1000, 2000))


def note_listings():
    """Short functions, adapted by being called, in a line each."""
    for name, statement, (a, b) in straight():
        function = short(statement)
        warm(function, a, b)
        note_instructions(name, function)
    for name, statement, values in over_types():
        function = make_over(statement)
        function([None] * 1100, values)
        common.note_site(name, function, ("BINARY_", "LOAD_ATTR"))


def note_kind():
    version = sys.version_info[:2]
    if not common.is_cpython():
        note("adapts", "in ways of this implementation's own")
    elif common.specializes():
        note("adapts", "instructions replace themselves (specialize), guarded by checks")
    elif version >= (3, 11):
        note("adapts", "nothing: free-threaded builds specialize from 3.14 on")
    elif version >= (3, 8):
        note("adapts", "%s remember%s (opcache), after 1024 calls" % (
            ("LOAD_GLOBAL and LOAD_ATTR", "") if version == (3, 10) else ("LOAD_GLOBAL", "s")))
    elif version < (3, 0):
        note("adapts", "nothing; BINARY_ADD has a fast way for two ints built in")
    else:
        note("adapts", "nothing; BINARY_ADD asks the types each time")


def specialize(options):
    turns = max(options["iterations"] // SITES, 1)
    cases = [(name, make(statement), arguments) for name, statement, arguments in straight()]
    over = [(name, make_over(statement), values) for name, statement, values in over_types()]
    for _, run, arguments in cases:
        warm(run, *arguments)
    for _, run, values in over:
        run([None] * 1100, values)
    for _ in range(options["samples"]):
        for name, run, arguments in cases:
            sample(name + "_ns", "ns", time_per_turn(run, turns, *arguments) / SITES * 1e9)
        for name, run, values in over:
            sample(name + "_ns", "ns", time_per_turn(run, turns, values) / len(values) * 1e9)
        cold_and_changed()
    note_kind()
    common.note_build()
    note_listings()


EXPERIMENTS = {
    "specialize": (specialize, {"iterations": 50000, "samples": 3}),
}

if __name__ == "__main__":
    sys.exit(common.main(EXPERIMENTS, sys.argv[1:]))
