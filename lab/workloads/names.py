# SPDX-License-Identifier: MIT
"""What it costs to find a name, by where it is, and after the place where it is has changed.

    python names.py names

    local        a slot in the frame: LOAD_FAST
    closure      a cell: LOAD_DEREF
    global       the module's dictionary: LOAD_GLOBAL
    builtin      not in the module's dictionary, then that of the builtins: LOAD_GLOBAL again
    module_level code outside of functions: LOAD_NAME, which looks in three places
    shadowed     a builtin after `len = 2` in the module; unshadowed: after `del len`

To 3.7 LOAD_GLOBAL looks in the dictionaries each time. In 3.8 to 3.10 it keeps the value that it
found, as long as both dictionaries are as they were: any change of any global makes it look again.
Since 3.11 it keeps the index, as long as the *keys* of the dictionaries are as they were: a global
may get another value (global_stored), only one that comes or goes makes it look again
(global_added). Methods are found by a cache of (type, name) in all versions, which a change of
the class makes useless (method_changed).
"""
from __future__ import print_function

import sys

import common
from common import note, note_instructions, sample, time_per_turn, warm

SITES = 20
CHANGED_SITES = 50  # lookups for each change, so that the change itself weighs little

SPACE = """
somewhere = 1
other = 0

class Thing(object):
    shared = 1
    def __init__(self):
        self.own = 1
    def method(self):
        pass

thing = Thing()
"""


def lookup(statement, space, name="run"):
    source = common.repeated(statement, SITES, arguments="repeat, a")
    return define_in(source, space)[name]


def define_in(source, space):
    """Defines it with an existing dictionary as the globals."""
    exec(compile(source, "<workload>", "exec"), space)
    return space


def closure():
    """A function whose names are cells of the one around it."""
    inner = common.repeated("x = held", SITES, arguments="repeat, a")
    source = "def make(held):\n" + "".join("    %s\n" % line for line in inner.splitlines()) + \
             "    return run\n"
    return common.define(source)["make"](1)


def lookups():
    """(name, function that looks it up SITES times a turn)"""
    def in_space(statement):
        return lookup(statement, common.define(SPACE))

    yield "local", in_space("x = a")
    yield "closure", closure()
    yield "global", in_space("x = somewhere")
    yield "builtin", in_space("x = len")
    yield "attribute", in_space("x = a.own")
    yield "class_attribute", in_space("x = a.shared")
    yield "method", in_space("x = a.method")
    yield "method_call", in_space("a.method()")


def shadowed():
    """The same function before, during and after the module has a `len` of its own."""
    space = common.define(SPACE)
    run = lookup("x = len", space)
    warm(run, None)
    define_in("len = 2", space)
    warm(run, None)
    yield "shadowed", run
    define_in("del len", space)
    warm(run, None)
    yield "unshadowed", run


def changing():
    """(name, function that makes a change, then looks up CHANGED_SITES times, its object). Each has
    a class of its own: one that has changed often is not cached any more (3.13: 1000 times)."""
    def function(change, statement, declare="pass"):
        lines = ["def run(repeat, a):", "    " + declare, "    for _ in repeat:"]
        lines += ["        " + change] + ["        " + statement] * CHANGED_SITES
        space = define_in("\n".join(lines) + "\n", common.define(SPACE))
        return space["run"], space["thing"]

    yield ("global_unchanged",) + function("x = 1", "x = somewhere")
    yield ("global_stored",) + function("other = x = object()", "x = somewhere", "global other")
    yield ("global_added",) + function("come = 1; del come", "x = somewhere", "global come")
    yield ("method_changed",) + function("a.__class__.shared = 2", "x = a.method")


def module_level(turns):
    """Seconds of a lookup by code outside of functions."""
    source = "for _ in repeat:\n" + "    x = somewhere\n" * SITES
    code = compile(source, "<workload>", "exec")

    def run(repeat):
        exec(code, {"somewhere": 1, "repeat": repeat})
    return time_per_turn(run, turns) / SITES


def note_listings():
    for name, source in (("local", "def f(s):\n    return s\n"),
                         ("global", "def f():\n    return somewhere\n"),
                         ("builtin", "def f(xs):\n    return len(xs)\n"),
                         ("attribute", "def f(x):\n    return x.own\n"),
                         ("set_attribute", "def f(x):\n    x.own = 2\n"),
                         ("class_attribute", "def f(x):\n    return x.shared\n"),
                         ("method", "def f(x):\n    return x.method()\n")):
        space = common.define(SPACE)
        function = define_in(source, space)["f"]
        arguments = {"local": (1,), "global": (), "builtin": ((),)}.get(name, (space["thing"],))
        for _ in range(1100):
            function(*arguments)
        note_instructions(name, function)
        if name == "builtin":
            note_shadowing(function, space, arguments)
    closed = common.define("def make(held):\n    def f():\n        return held\n    return f\n")
    note_instructions("closure", closed["make"](1))
    note_instructions("module_level", compile("somewhere", "<workload>", "eval"))


def note_shadowing(function, space, arguments):
    """What the call of len() has become after `len = 2`, and after `del len`."""
    space["len"] = 2
    try:
        function(*arguments)
        note("shadowing", "len = 2 was not seen")
    except TypeError as error:
        note("shadowing", "after len = 2: %s" % error)
    for _ in range(1100):
        try:
            function(*arguments)
        except TypeError:
            pass
    common.note_site("shadowed", function, ("LOAD_GLOBAL",))
    del space["len"]
    for _ in range(1100):
        function(*arguments)
    common.note_site("unshadowed", function, ("LOAD_GLOBAL",))


def note_kind():
    version = sys.version_info[:2]
    if not common.is_cpython():
        note("keeps", "what this implementation chooses to")
    elif common.specializes():
        note("keeps", "the index of a global, as long as the keys of the dictionaries are the same")
    elif version >= (3, 11):
        note("keeps", "nothing about globals: free-threaded builds specialize from 3.14 on")
    elif version >= (3, 8):
        note("keeps", "the value of a global, as long as nothing in the dictionaries has changed")
    else:
        note("keeps", "nothing about globals: each time the dictionaries are looked in")


def names(options):
    turns = max(options["iterations"] // SITES, 1)
    changed_turns = max(options["iterations"] // CHANGED_SITES, 1)
    thing = common.define(SPACE)["thing"]
    plain, changes = list(lookups()), list(changing())
    for _, run in plain:
        warm(run, thing)
    for _, run, changed in changes:
        warm(run, changed)
    for _ in range(options["samples"]):
        for name, run in plain:
            sample(name + "_ns", "ns", time_per_turn(run, turns, thing) / SITES * 1e9)
        sample("module_level_ns", "ns", module_level(turns) * 1e9)
        for name, run in shadowed():
            sample(name + "_ns", "ns", time_per_turn(run, turns, None) / SITES * 1e9)
        for name, run, changed in changes:
            seconds = time_per_turn(run, changed_turns, changed)
            sample(name + "_ns", "ns", seconds / CHANGED_SITES * 1e9)
    note_kind()
    note_listings()


EXPERIMENTS = {
    "names": (names, {"iterations": 50000, "samples": 3}),
}

if __name__ == "__main__":
    sys.exit(common.main(EXPERIMENTS, sys.argv[1:]))
