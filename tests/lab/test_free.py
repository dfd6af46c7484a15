# SPDX-License-Identifier: MIT
"""heddle gil on a free-threaded interpreter: which objects its threads contend for.

One is wanted, and none required: tools/make-free-threaded makes it."""

import json
import os
import shutil

from harness import Skip, alone, check, check_eq, check_in

SHARED = """
import sys, threading
class Contended:
    value = 1
def use(n, o):
    for _ in range(n):
        p = o
        p.value
shared = Contended()
threads = [threading.Thread(target=use, args=(int(sys.argv[1]), shared)) for _ in range(2)]
for t in threads:
    t.start()
for t in threads:
    t.join()
"""

# The same work, each thread with an object that it made itself.
OWN = SHARED.replace("shared = Contended()", "").replace(
    "def use(n, o):", "def use(n, o):\n    o = Contended()").replace(", shared)", ", None)")


def free_threaded():
    """A free-threaded interpreter; what is named there must be one."""
    prefix = os.environ.get("HEDDLE_FREE_THREADED", "/opt/python3.13t")
    found = [path for path in (os.path.join(prefix, "bin", "python3.13t"),
                               shutil.which("python3.13t"), shutil.which("python3.14t"))
             if path and os.access(path, os.X_OK)]
    if not found:
        raise Skip("there is no free-threaded Python (tools/make-free-threaded makes one)")
    return found[0]


def watched(l, program, count):
    script = l.write("program.py", program)
    result = l.run("gil", "--quiet", "--json", "-", "--", free_threaded(), script, str(count))
    check_eq(result.status, 0, result)
    report = json.loads(result.out)
    notes = " ".join(report.get("notes", []))
    if "Contended objects are not known" in notes:
        raise Skip(notes)
    return report


@alone
def a_contended_object_is_named(l):
    report = watched(l, SHARED, 6000000)
    check(report["python"]["free_threaded"])
    rows = report["tables"]["contended_objects"]
    check(rows, report["tables"])
    check_eq(rows[0]["type"], "Contended", rows)
    check_in("`Contended`", " ".join(report["verdict"]))
    functions = [row["function"] for row in report["tables"]["free_threading"]]
    check_in("_Py_DecRefShared", functions)


@alone
def objects_of_ones_own_are_not_contended(l):
    rows = watched(l, OWN, 3000000)["tables"].get("contended_objects", [])
    check("Contended" not in [row["type"] for row in rows], rows)


@alone
def without_perf_it_says_so(l):
    script = l.write("program.py", SHARED)
    result = l.run("gil", "--quiet", "--no-perf", "--", free_threaded(), script, "300000")
    check_eq(result.status, 0, result)
    check_in("Contended objects are not known", " ".join(result.out.split()))
