# SPDX-License-Identifier: MIT
"""Which subjects are found, and what they are called."""

import json
import os
import sys

from harness import ANSWERS, check, check_eq, check_in, soon_dead, test

# Answers the probe like an interpreter of that version, and runs the "workload" as a shell script.
MADE_UP = """
case "$*" in
*heddle-probe*) echo "heddle-probe %s %s %d $0" ;;
*) while [ "${1#-}" != "$1" ]; do shift; done; exec /bin/sh "$@" ;;
esac
"""

WORKLOAD = """
echo "python $*" >> "$LOG"
case "$1" in
list) echo lifecycle ;;
lifecycle) printf 'sample total_ms ms 100\\n' ;;
esac
"""


def found(place):
    r = place.run("subjects", "--json")
    check_eq(r.status, 0, repr(r))
    return {x["name"]: x for x in json.loads(r.out)["subjects"]}


@test
def bench_programs_are_found(place):
    for name in ("tbb", "pthread", "heddle", "boost"):
        place.subject(name, {"switch": ANSWERS["switch"], "bare": ANSWERS["bare"]})
    place.write("libexec/heddle-bench-Bad Name", "#!/bin/sh\n", 0o755)
    os.mkdir(place.path("libexec/heddle-bench-folder.p"))
    names = [n for n, x in found(place).items() if x["kind"] == "native"]
    check_eq(names, ["heddle", "pthread", "boost", "tbb"])
    check_eq(found(place)["heddle"]["experiments"], ["switch", "bare"])
    check_eq(found(place)["heddle"]["path"], place.path("libexec/heddle-bench-heddle"))


@test
def pythons_get_short_and_unique_names(place):
    place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 0))
    place.python("python3.33t", MADE_UP % ("CPython", "3.33.0", 1))
    place.python("pypy3.30", MADE_UP % ("PyPy", "3.30.9", 0))
    place.write("other/bin/python3.31", "#!/bin/sh\n" + MADE_UP % ("CPython", "3.31.6", 0), 0o755)
    place.write("third/bin/python3", "#!/bin/sh\n" + MADE_UP % ("CPython", "3.31.6", 0), 0o755)
    place.env["PATH"] += ":%s:%s" % (place.path("other/bin"), place.path("third/bin"))
    all_ = found(place)
    for name, version, free in (("python3.31", "3.31.4", False), ("python3.31.6", "3.31.6", False),
                                ("python3.31.6-2", "3.31.6", False),
                                ("python3.33t", "3.33.0", True), ("pypy3.30", "3.30.9", False)):
        check_in(name, all_)
        check_eq((all_[name]["version"], all_[name]["free_threaded"]), (version, free), name)


@test
def pythons_in_pyenv_are_found_and_its_shims_are_not(place):
    place.env["PYENV_ROOT"] = place.path("pyenv")
    place.env["PATH"] = place.path("pyenv/shims") + ":" + place.env["PATH"]
    real = place.write("pyenv/versions/3.30.1/bin/python3.30",
                       "#!/bin/sh\n" + MADE_UP % ("CPython", "3.30.1", 0), 0o755)
    place.write("pyenv/shims/python3.30",
                "#!/usr/bin/env bash\nexec pyenv exec python3.30 \"$@\"\n", 0o755)
    all_ = found(place)
    check_eq(all_["python3.30"]["path"], real)
    check(not any("shims" in x["path"] for x in all_.values()))


@test
def one_interpreter_with_many_names_counts_once(place):
    real = place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 0))
    os.symlink(real, place.path("bin/python3"))
    os.link(real, place.path("bin/python"))
    os.symlink(place.path("bin"), place.path("again"))
    place.python("python4", 'exec %s "$@"' % real)
    place.env["PATH"] += ":" + place.path("again")
    mine = [x for x in found(place).values() if x["path"].startswith(place.root)]
    check_eq(len(mine), 1, repr(mine))


@test
def files_that_only_look_like_an_interpreter_are_left_alone(place):
    for name in ("python3-config", "python3.31-gdb.py", "pythonw", "python3.31-dbg", "ipython3"):
        place.python(name, 'echo ran >> "$LOG"')
    place.write("bin/python3.32", "#!/bin/sh\necho ran >> \"$LOG\"\n", 0o644)
    os.mkdir(place.path("bin/python3.34"))
    found(place)
    check_eq(place.calls(), [])


@test
def a_python_that_crashes_or_hangs_is_shown_with_the_reason(place):
    mark = "9%07d" % os.getpid()
    place.python("python3.31", "kill -SEGV $$")
    place.python("python3.32", "sleep %s" % mark)
    place.python("python3.33", "echo hello")
    place.python("python3.34", MADE_UP % ("CPython", "3.34.0", 0))
    all_ = found(place)
    for name, part in (("python3.31", "crashed: SIGSEGV"), ("python3.32", "did not end within 5 s"),
                       ("python3.33", "does not answer like a Python")):
        check(not all_[name]["usable"])
        check_in(part, all_[name]["reason"])
    check_eq(all_["python3.34"]["version"], "3.34.0")
    check(soon_dead(mark))
    r = place.run("subjects")
    check_eq(r.status, 0)
    check_in("crashed: SIGSEGV", r.out)


@test
def a_broken_python_fails_alone(place):
    place.write("data/workloads/threads.py", WORKLOAD)
    place.subject("heddle")
    place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 0))
    place.python("python3.32", "kill -SEGV $$")
    r, run = place.lab_json("lifecycle", "--subject", "heddle,python3.3*")
    check_eq(r.status, 3, repr(r))
    check_in("python3.32 (", r.err)
    check_in("crashed: SIGSEGV", r.err)
    check_eq([x["subject"] for x in run["failures"]], ["python3.32"])
    check_eq(sorted(set(x["subject"] for x in run["results"])), ["heddle", "python3.31"])


@test
def pythons_run_the_workload(place):
    place.write("data/workloads/threads.py", WORKLOAD)
    place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 0))
    r, run = place.lab_json("lifecycle", "--subject", "python3.31", "--threads", "20")
    check_eq(r.status, 0, repr(r))
    check_eq(run["results"][0]["median"], 100)
    check_eq(place.calls()[0][:4], ["python", "lifecycle", "--threads", "20"])


@test
def an_interpreter_may_be_named_by_path(place):
    place.write("data/workloads/threads.py", WORKLOAD)
    place.write("far/python3", "#!/bin/sh\n" + MADE_UP % ("CPython", "3.31.4", 0), 0o755)
    r, run = place.lab_json("lifecycle", "--subject", "far/python3")
    check_eq(r.status, 0, repr(r))
    check_eq([x["subject"] for x in run["results"]], ["python3.31"])
    place.write("far/again", "#!/bin/sh\nexec %s \"$@\"\n" % place.path("far/python3"), 0o755)
    r, run = place.lab_json("lifecycle", "--subject", "far/python3,far/again")
    check_eq([x["subject"] for x in run["results"]], ["python3.31", "python3.31.4"],
             "the wrapper is not run as named")
    check_eq([x["path"] for x in run["subjects"]], ["far/python3", "far/again"])
    os.symlink("python3", place.path("far/link"))
    r, run = place.lab_json("lifecycle", "--subject", "far/python3,far/link")
    check_eq([x["subject"] for x in run["results"]], ["python3.31"], "one counts twice")
    place.write("far/bad", "#!/bin/sh\nkill -SEGV $$\n", 0o755)
    r = place.lab("lifecycle", "--subject", "far/python3,far/bad")
    check_eq(r.status, 3, repr(r))
    check_in("crashed: SIGSEGV", r.err)
    check_in("python3.31", r.out)


@test
def the_interpreter_of_an_environment_is_run_as_named(place):
    place.write("data/workloads/threads.py", WORKLOAD)
    real = place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 0))
    place.write("venv/pyvenv.cfg", "home = %s\n" % place.path("bin"))
    os.mkdir(place.path("venv/bin"))
    for name in ("python", "python3"):
        os.symlink(real, place.path("venv/bin/" + name))
    r, run = place.lab_json("lifecycle", "--subject", "venv/bin/python,venv/bin/python3")
    check_eq(r.status, 0, repr(r))
    check_eq([x["path"] for x in run["subjects"]], ["venv/bin/python"])
    r, run = place.lab_json("lifecycle", "--subject", "python3.31,venv/bin/python")
    check_eq([x["path"] for x in run["subjects"]], [real, "venv/bin/python"])


@test
def a_shim_named_by_path_that_picks_nobody_is_told(place):
    place.write("shim", "#!/bin/sh\n# pyenv\necho no version is set >&2; exit 127\n", 0o755)
    r = place.lab("lifecycle", "--subject", "./shim")
    check_eq(r.status, 3, repr(r))
    check_in("is a shim of pyenv: name the interpreter behind it", r.err)


@test
def a_real_python_is_recognised(place):
    place.write("data/workloads/threads.py",
                "import sys\n"
                "if sys.argv[1] == 'list': print('lifecycle')\n"
                "else: print('sample total_ms ms 3')\n")
    r, run = place.lab_json("lifecycle", "--subject", sys.executable)
    check_eq(r.status, 0, repr(r))
    version = "%d.%d.%d" % sys.version_info[:3]
    check_eq([x["version"] for x in run["subjects"]], [version])
    check_in("python%d.%d" % sys.version_info[:2], run["results"][0]["subject"])


@test
def modules_in_the_current_directory_do_not_matter(place):
    place.write("data/workloads/threads.py",
                "import sys\n"
                "if sys.argv[1] == 'list': print('lifecycle')\n"
                "else: print('sample total_ms ms 3')\n")
    for name in ("platform", "sysconfig", "statistics", "random"):
        place.write(name + ".py", "raise ImportError('not the one')\n")
    r, run = place.lab_json("lifecycle", "--subject", sys.executable)
    check_eq(r.status, 0, repr(r))
    check_eq(len(run["results"]), 1)


@test
def without_its_workload_a_python_is_not_usable(place):
    place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 0))
    r = place.lab("lifecycle", "--subject", "python3.31")
    check_eq(r.status, 3, repr(r))
    check_in("its workload threads.py was not found", r.err)
    check_in("Nothing was measured", r.out)


GO = """
echo "go $*" >> "$LOG"
case "$1" in
version) echo "go version go1.98.7 linux/amd64" ;;
build) printf '#!/bin/sh\\n%s' "$GO_MAKES" > "$3"; chmod +x "$3"; cat "$4" > /dev/null ;;
esac
"""


@test
def the_go_workload_is_built_once(place):
    place.write("data/workloads/go/threads.go", "package main\n")
    place.python("go", GO)
    place.env["GO_MAKES"] = WORKLOAD
    for _ in range(2):
        r, run = place.lab_json("lifecycle", "--subject", "go1.98")
        check_eq(r.status, 0, repr(r))
        check_eq(run["results"][0]["subject"], "go1.98")
    check_eq(len([c for c in place.calls() if c[1] == "build"]), 1)
    place.write("data/workloads/go/threads.go", "package main // changed\n")
    place.lab("lifecycle", "--subject", "go*")
    check_eq(len([c for c in place.calls() if c[1] == "build"]), 2)
    place.env["XDG_CACHE_HOME"] = place.path("cache")
    place.lab("lifecycle", "--subject", "go1.98.7")
    check_eq(len(os.listdir(place.path("cache/heddle"))), 1)


@test
def a_go_workload_that_cannot_be_built_is_told(place):
    place.write("data/workloads/go/threads.go", "package main\n")
    place.python("go", GO.replace("build) ", "build) echo syntax error >&2; exit 1; "))
    r = place.lab("lifecycle", "--subject", "go1.98")
    check_eq(r.status, 3, repr(r))
    check_in("its workload cannot be built: ended with status 1: syntax error", r.err)


@test
def missing_bench_programs_are_told(place):
    place.write("data/workloads/threads.py", WORKLOAD)
    place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 0))
    r = place.lab("lifecycle", "--subject", "python3.31")
    check_eq(r.status, 0, repr(r))
    check_in("there are no bench programs in " + place.path("libexec"), r.err)


@test
def the_list_is_narrow(place):
    place.subject("heddle")
    place.python("python3.31", MADE_UP % ("CPython", "3.31.4", 1))
    place.python("python3.32", "echo %s >&2; exit 1" % ("long " * 60))
    r = place.run("subjects")
    check_eq(r.status, 0, repr(r))
    for line in r.out.splitlines():
        check(len(line) <= 80 or "/" in line, repr(line))
        check(line == line.rstrip(), repr(line))
    check_in("~" if place.path("bin").startswith(place.env["HOME"]) else "no GIL", r.out)
