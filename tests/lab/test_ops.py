# SPDX-License-Identifier: MIT
"""heddle ops on real interpreters: programs of which it is known where they spend their time, and
what their instructions are, since the same interpreter's `dis` says so."""

import csv
import glob
import io
import json
import os
import shutil
import signal
import subprocess
import time

import harness
from harness import Skip, alone, check, check_eq, check_in

DEBIAN = "/usr/bin/python3"

# `hot` runs most of the time, `cold` a tenth of that. Line 2 is where hot begins. Seconds are of
# CPU time: the machine may be busy.
HOT = """import sys, time
def hot(n):
    t = 0
    while n:
        n = n - 1
        t = t + n
    return t
def cold(n):
    t = 0
    while n:
        n = n - 1
        t = t + n
    return t
now = getattr(time, "process_time", None) or time.clock
def run(seconds):
    end = now() + seconds
    while now() < end:
        hot(20000)
        cold(2000)
if __name__ == "__main__":
    run(float(sys.argv[1]))
"""

# Sums of ints alone, and of what changes its type every few thousand times.
TYPES = """import sys, time
def same(n):
    t = 0
    for i in range(n):
        t = t + i
    return t
def mixed(n, x):
    t = x
    for i in range(n):
        t = x + x
    return t
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end:
    same(20000)
    for x in (1, 2.5):
        mixed(20000, x)
"""

# What dis says of hot: offset, name, line.
DIS = """import dis, sys
sys.path.insert(0, sys.argv[1])
import script
line = 0
for i in dis.get_instructions(script.hot):
    start = i.starts_line
    if isinstance(start, bool):
        start = i.line_number
    line = start or line
    print(i.offset, i.opname, line)
"""


# Calls that have no special form, of a C function that takes long.
CALLS = """
import time
data = [1] * 50000
def work():
    bytes(data)
end = time.time() + 1
while time.time() < end:
    work()
"""


def script(place, text):
    return place.write("script.py", text)


def interpreters():
    """Debian's, and one of each version that pyenv has."""
    found = [DEBIAN] + sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/[23].*/bin/python")))
    return [path for path in found if os.access(path, os.X_OK)]


def looked(place, *args, **kinds):
    """Runs heddle ops; the text, and what is in the JSON."""
    r = place.run("ops", "--quiet", "--json", "found.json", *args, **kinds)
    if r.status == 3 and "may not be looked into" in r.err:
        raise Skip(r.err.strip())
    check_eq(r.status, kinds.get("status", 0), repr(r))
    with open(place.path("found.json")) as f:
        return r, json.load(f)


def function(found, name):
    of_name = [f for f in found["functions"] if f["function"] == name]
    check(of_name, "no %s in %r" % (name, [f["function"] for f in found["functions"]]))
    return of_name[0]


def check_sums(found):
    """What is counted in parts is the whole."""
    whole = found["samples"] - found["dropped"]
    check_eq(sum(f["samples"] for f in found["functions"]), whole)
    check_eq(sum(found["states"].values()), whole)
    for f in found["functions"]:
        check_eq(sum(i["samples"] for i in f["instructions"]), f["samples"], f["function"])
        for i in f["instructions"]:
            check(sum(i["forms"].values()) <= i["samples"], repr(i))
    check_eq(found["ticks"] >= found["idle"], True)


def check_hot(found):
    """Whatever the start of the interpreter takes beside it on a busy machine."""
    check_sums(found)
    hot = function(found, "hot")
    cold = sum(f["samples"] for f in found["functions"] if f["function"] == "cold")
    own = [f for f in found["functions"] if f["file"].endswith("script.py")]
    check(own[0] is hot, "hot is not first: %r" % [(f["function"], f["samples"]) for f in own])
    check(cold < hot["samples"] / 2 + 5, "cold has %d" % cold)
    check_eq(hot["first_line"], 2)
    check({i["line"] for i in hot["instructions"]} <= {2, 3, 4, 5, 6, 7}, repr(hot))


@alone
def the_hot_function_comes_first(place):
    r, found = looked(place, "--", DEBIAN, script(place, HOT), "1.5")
    check_hot(found)
    check(found["names_known"], found["names"])
    check(found["functions"][0]["function"] == "hot")
    check(function(found, "hot")["share"] > 0.5, found["verdict"])
    check_in("script.py:", found["verdict"][1])
    check_in(" in hot, with ", found["verdict"][1])
    check_in("        n = n - 1", r.out)  # the source
    check_in("hot, " + place.path("script.py") + ":2", r.out)
    check_in("STORE_FAST (t)", r.out)
    check_eq(found["ended"], "to its end")
    check_eq(found["pid"] > 0, True)


@alone
def instructions_are_those_that_dis_prints(place):
    tried = 0
    for python in interpreters():
        if ".pyenv/versions/2." in python:
            continue  # its dis has no get_instructions
        _, found = looked(place, "--", python, script(place, HOT), "0.4")
        check_hot(found)
        p = subprocess.run([python, "-S", "-c", DIS, place.root], stdout=subprocess.PIPE,
                           check=True, env=dict(place.env, PYTHONDONTWRITEBYTECODE="1"))
        known = {}
        for line in p.stdout.decode().splitlines():
            offset, name, number = line.split()
            known[int(offset)] = (name, int(number))
        for i in function(found, "hot")["instructions"]:
            check_eq((i["opcode"], i["line"]), known.get(i["offset"]),
                     "%s, offset %d" % (python, i["offset"]))
        tried += 1
    if not tried:
        raise Skip("no interpreter is here")


@alone
def the_oldest_version_has_names_and_lines_too(place):
    found = glob.glob(os.path.expanduser("~/.pyenv/versions/2.7*/bin/python"))
    if not found:
        raise Skip("no python2.7 is here (in ~/.pyenv)")
    _, found = looked(place, "--", found[0], script(place, HOT), "0.5")
    check_hot(found)
    names = {i["opcode"] for i in function(found, "hot")["instructions"]}
    check(names <= {"LOAD_CONST", "LOAD_FAST", "STORE_FAST", "BINARY_ADD", "BINARY_SUBTRACT",
                    "POP_JUMP_IF_FALSE", "JUMP_ABSOLUTE", "SETUP_LOOP", "POP_BLOCK",
                    "RETURN_VALUE"}, repr(names))
    check_in("does not specialize", found["verdict"][0])


@alone
def what_is_specialized_and_what_falls_back_is_told(place):
    version = subprocess.check_output([DEBIAN, "-c", "import sys; print(sys.version_info[1])"])
    if int(version) < 11:
        raise Skip("Debian's python3 is older than 3.11")
    r, found = looked(place, "--", DEBIAN, script(place, TYPES), "2")
    check_sums(found)
    adds = {}
    for name in ("same", "mixed"):
        adds[name] = [i for i in function(found, name)["instructions"]
                      if i["opcode"] == "BINARY_OP" and i["means"] == "+"][0]
    check_eq(adds["same"]["state"], "specialized", repr(adds))
    check_eq(list(adds["same"]["forms"]), ["BINARY_OP_ADD_INT"])
    check_eq(adds["mixed"]["state"], "fell back", repr(adds))
    check({"BINARY_OP_ADD_INT", "BINARY_OP_ADD_FLOAT"} <= set(adds["mixed"]["forms"]), repr(adds))
    check_in("BINARY_OP (+) at script.py:10 in mixed", " ".join(found["verdict"]))
    check_in("operands are of one type", " ".join(found["advice"]))
    check_in("What to do", r.out)


@alone
def the_time_of_c_functions_is_not_blamed_on_calls(place):
    version = subprocess.check_output([DEBIAN, "-c", "import sys; print(sys.version_info[1])"])
    if int(version) != 11:
        raise Skip("in Debian's python3 such calls may have a special form")
    _, found = looked(place, "--", DEBIAN, script(place, CALLS))
    check_in("What a C function does counts for its call", " ".join(found["verdict"]))


@alone
def a_process_that_runs_is_looked_at_and_goes_on(place):
    with subprocess.Popen([DEBIAN, script(place, HOT), "60"]) as p:
        try:
            r, found = looked(place, "--pid", str(p.pid), "--for", "700ms")
            check_hot(found)
            check_eq(found["ended"], "and it goes on")
            check_eq(found["pid"], p.pid)
            check_eq(p.poll(), None)
            check("and it goes on" in " ".join(r.out.split()), r.out)
        finally:
            p.kill()


@alone
def an_executable_that_was_deleted_is_asked_for_names(place):
    copy = place.path("python")
    shutil.copy(os.path.realpath(DEBIAN), copy)
    with subprocess.Popen([copy, script(place, HOT), "60"]) as p:
        try:
            time.sleep(0.2)
            os.unlink(copy)
            _, found = looked(place, "--pid", str(p.pid), "--for", "700ms")
            check_hot(found)
            check(found["python"]["file"] == copy, repr(found["python"]))
        finally:
            p.kill()


@alone
def names_can_be_asked_of_another_interpreter(place):
    place.python("silent", "exit 0")
    _, found = looked(place, "--python", place.path("bin/silent"), "--", DEBIAN,
                      script(place, HOT), "0.5")
    check(not found["names_known"])
    check_in("--python", found["names"])
    check_sums(found)
    check(function(found, "hot")["samples"] > 0)
    _, found = looked(place, "--python", DEBIAN, "--", DEBIAN, script(place, HOT), "0.5")
    check(found["names_known"], found["names"])
    check_hot(found)


@alone
def a_program_that_becomes_another_one_is_followed(place):
    place.write("script.py", HOT)
    first = ("import os, sys\nsys.path.insert(0, %r)\nimport script\nscript.run(0.5)\n"
             "os.execv(%r, [%r, %r, '0.6'])\n"
             % (place.root, DEBIAN, DEBIAN, place.write("second.py", TYPES)))
    _, found = looked(place, "--", "/bin/sh", "-c", 'exec "$@"', "sh", DEBIAN,
                      place.write("first.py", first))
    check_sums(found)
    check(function(found, "hot")["samples"] > 0)
    check(function(found, "same")["samples"] > 0)


@alone
def ops_csv_has_a_row_for_each_instruction_that_was_met(place):
    r = place.run("ops", "-q", "--csv", "-", "--json", "found.json", "--", DEBIAN,
                  script(place, HOT), "0.5")
    check_eq(r.status, 0, repr(r))
    rows = list(csv.DictReader(io.StringIO(r.out, newline=""), strict=True))
    with open(place.path("found.json")) as f:
        found = json.load(f)
    places = [(f["function"], i["offset"], i["opcode"], i["samples"])
              for f in found["functions"] for i in f["instructions"]]
    check_eq([(row["function"], int(row["offset"]), row["opcode"], int(row["samples"]))
              for row in rows], places)
    check(r.out.count("\r\n") == r.out.count("\n") > 1, "lines must end as RFC 4180 says")


@alone
def an_interrupted_look_is_reported(place):
    p = place.start("ops", "--json", "found.json", "--", DEBIAN, script(place, HOT), "60")
    try:
        time.sleep(1.2)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=30)
    finally:
        p.kill()
    check_eq(p.returncode, 128 + signal.SIGINT, err.decode())
    check_in("interrupted", out.decode())
    with open(place.path("found.json")) as f:
        check_hot(json.load(f))


@alone
def what_cannot_be_looked_at_is_said(place):
    me = str(os.getpid())
    other = subprocess.Popen(["/bin/sleep", "60"])
    for args, status, words in (
            ((), 2, "Give a command after --, or --pid N"),
            (("--pid", me, "--", "true"), 2, "not both"),
            (("--pid", "none"), 2, "'none' is not the number of a process"),
            (("--for", "soon", "--", "true"), 2, "'soon' is not a time"),
            (("--every", "1us", "--", "true"), 2, "'1us' is not a time"),
            (("--top", "0", "--", "true"), 2, "'0' is not a number of functions"),
            (("--python", "/no/python", "--", "true"), 2, "cannot run '/no/python'"),
            (("--json", "x", "--csv", "x", "--", "true"), 2, "two reports cannot go to 'x'"),
            (("--wrong",), 2, "unknown option '--wrong'"),
            (("--", "no-such-command"), 127, "cannot run no-such-command: not found in PATH"),
            (("--", "/bin/sleep", "0.1"), 3, "no Python"),
            (("--pid", str(other.pid)), 3, "runs no Python interpreter"),
            (("--pid", "1073741823"), 3, "there is no process 1073741823")):
        r = place.run("ops", *args)
        check_eq(r.status, status, "%r\n%r" % (args, r))
        check_in(words, r.err, repr(args))
        check_eq(r.out, "", repr(args))
    other.kill()
    other.wait()
    check(not os.path.exists(place.path("x")))


@alone
def ops_says_how_it_is_used(place):
    for args in (("ops", "--help"), ("help", "ops")):
        r = place.run(*args)
        check_eq(r.status, 0, repr(r))
        check_in("Usage: heddle ops", r.out)
        check_in("--python PATH", r.out)
        check(max(len(line) for line in r.out.splitlines()) <= 80, r.out)


if __name__ == "__main__":
    harness.main(__import__("sys").argv)
