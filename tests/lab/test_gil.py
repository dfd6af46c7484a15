# SPDX-License-Identifier: MIT
"""heddle gil on real interpreters: what it says of programs of which that is known.

The machine may be busy: nothing here depends on how long something took, but for what holds at
any speed."""

import glob
import json
import os
import signal
import subprocess
import time

import harness
from harness import Skip, alone, check, check_eq, check_in

DEBIAN = "/usr/bin/python3"

# Each begins with a pause, in which it is found even on a busy machine.
COUNT = """
import sys, threading, time
time.sleep(0.2)
def count(n):
    while n > 0:
        n -= 1
threads = [threading.Thread(target=count, args=(int(sys.argv[2]),))
           for _ in range(int(sys.argv[1]))]
for t in threads:
    t.start()
for t in threads:
    t.join()
"""

# A thread that answers what comes through a pipe, beside one that computes. Between two requests
# there is time enough for the other one to take the lock.
CONVOY = """
import os, sys, threading, time
time.sleep(0.2)
there, back = os.pipe(), os.pipe()
def count():
    n = 0
    while True:
        n += 1
def answer():
    while True:
        os.write(back[1], os.read(there[0], 1))
for target in (count, answer):
    threading.Thread(target=target, daemon=True).start()
if os.fork() == 0:
    for i in range(int(sys.argv[1])):
        time.sleep(0.004)
        os.write(there[1], b"x")
        os.read(back[0], 1)
    os._exit(0)
os.wait()
os._exit(0)
"""

# Both compute nearly all of their time without the lock.
HASHES = """
import hashlib, os, threading, time
time.sleep(0.2)
data = os.urandom(1 << 20)
end = time.monotonic() + 1
def hash():
    while time.monotonic() < end:
        hashlib.sha256(data).digest()
threads = [threading.Thread(target=hash) for _ in range(2)]
for t in threads:
    t.start()
for t in threads:
    t.join()
"""

# Two threads that are named, and one that is not.
NAMES = """
import threading, time
time.sleep(0.2)
def nap():
    end = time.time() + 1.5
    while time.time() < end:
        time.sleep(0.002)
threads = [threading.Thread(target=nap, name=name) for name in ("reader", "early", None)]
threads[1].name = "writer"
for t in threads:
    t.daemon = True
    t.start()
for t in threads:
    t.join()
"""

ALONE = """
import time
time.sleep(0.2)
n = 0
while n < 5000000:
    n += 1
"""

WAITS = """
import sys, threading, time
def nap():
    while True:
        time.sleep(0.01)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=nap, daemon=True).start()
print("ready")
sys.stdout.flush()
time.sleep(60)
"""


def script(place, text):
    return place.write("script.py", text)


def watched(place, *args, **kinds):
    """Runs heddle gil; the text, and what is in the JSON."""
    kinds.setdefault("timeout", 120)
    r = place.run("gil", "--quiet", "--json", "found.json", *args, **kinds)
    if r.status == 3 and "ptrace" in r.err:
        raise Skip(r.err.strip())
    check_eq(r.status, 0, repr(r))
    with open(place.path("found.json")) as f:
        return r, json.load(f)


def means(found, name):
    return [m for m in found["means"] if m["name"] == name][0]


def need_watchpoint(found):
    m = means(found, "watchpoint")
    if not m["used"]:
        raise Skip("no watchpoint here: " + str(m["why"]))


def named(found, name):
    return [t for t in found["threads"] if t["name"] == name]


def part(thread, *states):
    whole = sum(thread["state_ns"].values())
    return sum(thread["state_ns"][s] for s in states) / whole if whole else 0


def counts_agree(found):
    counts = found["counts"]
    own = counts["switch_number_last"] - counts["switch_number_first"]
    # The counter is read a moment before or after the first and the last event.
    check(abs(counts["takes_watched"] - own) <= max(own * 0.01, counts["events_lost"], 1),
          "%d hand-overs were seen, the interpreter counted %d" % (counts["takes_watched"], own))
    return own


def check_countdown(place, python, length="3000000"):
    r, found = watched(place, "--", python, script(place, COUNT), "2", length)
    need_watchpoint(found)
    check(counts_agree(found) >= 1, repr(r))
    check_in("us a time here", means(found, "watchpoint")["why"])
    both = [t for t in named(found, "count") if t["takes"]]
    check_eq(len(both), 2, repr(r))
    for t in both:
        check(t["hold"]["count"] >= 1, t)
        check(part(t, "holds", "holds_off_cpu", "waits", "runnable") > 0.5, t)
    for lock in found["locks"]:
        check(lock["held_ns"] <= found["duration_ns"] * 1.001, lock)
        check((lock["forced"] or 0) <= lock["takes"], lock)  # 3.6: not known
    lines = [at["at"] for t in both for at in t["held_at"]]
    check(any(at and "count (script.py:" in at for at in lines), lines)
    check_in("The GIL\n", r.out)
    if "take turns" in r.out:
        check_in("What to do", r.out)
    return r, both


@alone
def gil_of_debians_python_in_a_countdown(place):
    r, both = check_countdown(place, DEBIAN, "6000000")
    for line in r.out.splitlines():
        check(len(line) <= 80 or "script.py:" in line, "too wide: %r" % line)
    if min(t["takes"] for t in both) < 10:
        raise Skip("the machine was too busy for two threads to take turns")
    if max(part(t, "runnable") for t in both) > 0.2 and "take turns" not in r.out:
        raise Skip("the machine was too busy: the threads lacked a CPU, not the GIL alone")
    check_in("CPU-bound threads (`count (", r.out)
    check_in("take turns every", " ".join(r.out.split()))


@alone
def gil_of_every_python_that_is_found(place):
    pythons = sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python")))
    if not pythons:
        raise Skip("no other interpreters in ~/.pyenv/versions")
    for python in pythons:
        if "t/bin" in python:  # free-threaded
            continue
        check_countdown(place, python)


@alone
def gil_calls_threads_as_the_program_does(place):
    r, found = watched(place, "--", DEBIAN, script(place, NAMES))
    names = [t["name"] for t in found["threads"]]
    for name in ("reader", "writer", "nap", "main"):
        check(name in names, repr((names, r)))
    check("early" not in names, repr((names, r)))


@alone
def gil_names_a_convoy(place):
    r, found = watched(place, "--", DEBIAN, script(place, CONVOY), "60")
    need_watchpoint(found)
    counts_agree(found)
    answer, = named(found, "answer")
    count, = named(found, "count")
    check(part(answer, "waits") > 0.1, "%r\n%r" % (answer, r))
    behind = [w for w in found["waits"] if w["waiter"] == answer["tid"]]
    check_eq(max(behind, key=lambda w: w["ns"])["holder"], count["tid"])
    check_eq(answer["worst_wait"]["holder"], count["tid"])
    check(part(count, "holds", "holds_off_cpu") > part(answer, "holds", "holds_off_cpu"), found)
    check_in("Thread `answer` waited", r.out)
    check_in("behind `count`", r.out)
    check_in("setswitchinterval", r.out)


# Three threads wait for a lock that the main thread keeps, two others for a queue.
KEPT = """
import queue, threading, time
time.sleep(0.2)
lock, idle = threading.Lock(), queue.SimpleQueue()
def work():
    with lock: # the line
        pass
def rest():
    idle.get()
lock.acquire()
for target in (work, work, work, rest, rest):
    threading.Thread(target=target, daemon=True).start()
end = time.monotonic() + 1.5
while time.monotonic() < end:
    time.sleep(0.0005)
"""


@alone
def gil_names_a_lock_that_is_not_the_gil(place):
    line = [i for i, l in enumerate(KEPT.split("\n"), 1) if "the line" in l][0]
    pythons = glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[0-9].*/bin/python"))
    for python in [DEBIAN] + sorted(pythons):
        r, found = watched(place, "--", python, script(place, KEPT))
        kept = [(t["tid"], y["lock"]) for t in found["threads"] for y in t["blocked_at"]
                if y.get("lock_kind") == "threading.Lock" and ":%d)" % line in y["at"]]
        # On a busy machine there may be no look at the stack of one of the three.
        check(len(kept) in (2, 3) and len({lock for tid, lock in kept}) == 1, repr((python, r)))
        check_in("Not the GIL, but the threading.Lock at %s is what %d threads waited for"
                 % (kept[0][1], len(kept)), " ".join(r.out.split()))
        check_in("most often at script.py:%d (work)" % line, " ".join(r.out.split()))


@alone
def gil_of_one_thread_is_not_in_the_way(place):
    r, found = watched(place, "--", DEBIAN, script(place, ALONE))
    check_in("Only thread `main` used the GIL; nobody waited for it.", r.out)
    main, = found["threads"]
    check(part(main, "holds", "holds_off_cpu") > 0.1, main)
    check_eq(main["takes"], 0)
    check("What to do" not in r.out, r.out)


@alone
def gil_of_python_2_is_written_down_by_itself(place):
    pythons = glob.glob(os.path.expanduser("~/.pyenv/versions/2.7*/bin/python"))
    if not pythons:
        raise Skip("no Python 2.7 in ~/.pyenv/versions")
    r, found = watched(place, "--", pythons[0], script(place, COUNT), "2", "2000000")
    preload = means(found, "preload")
    if not preload["used"]:
        raise Skip("the library is not there: " + str(preload["why"]))
    lock, = found["locks"]
    check(lock["exact"] and lock["takes"] >= 1, lock)
    check_eq(lock["forced"], None)  # Python 2 asks nobody to let go
    for t in named(found, "count"):
        check(t["hold"]["count"] >= 1, t)
    check_in("Waits are as the target itself wrote them down.", " ".join(r.out.split()))


@alone
def gil_by_samples_alone(place):
    r, found = watched(place, "--no-perf", "--", DEBIAN, script(place, COUNT), "2", "3000000")
    check(not means(found, "watchpoint")["used"], found["means"])
    check(found["counts"]["samples"] > 0, repr(r))
    check_in("which is an estimate", " ".join(r.out.split()))
    check(sum(t["state_ns"]["holds"] for t in found["threads"]) > 0, repr(r))


@alone
def gil_of_a_process_that_runs(place):
    target = subprocess.Popen([DEBIAN, script(place, WAITS), "5"], stdout=subprocess.PIPE)
    try:
        target.stdout.readline()
        r, found = watched(place, "--pid", str(target.pid), "--for", "300ms")
        check_in("process %d; Python 3." % target.pid, r.out)
        check_eq(found["pid"], target.pid)
        check(len(found["threads"]) >= 6, repr(r))
        check(found["duration_ns"] >= 300000000, found["duration_ns"])
        check(target.poll() is None, "the target ended")
        # and after we were killed
        heddle = place.start("gil", "--pid", str(target.pid))
        time.sleep(0.5)
        heddle.kill()
        heddle.communicate()
        check(target.poll() is None, "the target ended")
        r, found = watched(place, "--pid", str(target.pid), "--for", "100ms")
        check(len(found["threads"]) >= 6, repr(r))
    finally:
        target.kill()
        target.communicate()


@alone
def gil_says_that_a_process_is_stopped(place):
    target = subprocess.Popen([DEBIAN, script(place, WAITS), "5"], stdout=subprocess.PIPE)
    try:
        target.stdout.readline()
        target.send_signal(signal.SIGSTOP)
        r, found = watched(place, "--pid", str(target.pid), "--for", "300ms")
        check_in("the process was stopped", r.out.replace("\n", " "))
        check("What to do" not in r.out, r.out)
    finally:
        target.kill()
        target.communicate()


@alone
def gil_held_is_not_what_c_code_does_without_it(place):
    r, found = watched(place, "--", DEBIAN, script(place, HASHES))
    need_watchpoint(found)
    lock = found["locks"][0]
    held = lock["held_ns"] / (lock["held_ns"] + lock["free_ns"])
    taken = lock["samples_taken"] / lock["samples"]
    check(held < taken + 0.2, "held %.2f, seen to be held in %.2f of the samples" % (held, taken))


@alone
def the_end_of_a_process_that_was_attached_to_is_told(place):
    target = subprocess.Popen([DEBIAN, script(place, WAITS), "1"], stdout=subprocess.PIPE)
    try:
        target.stdout.readline()
        heddle = place.start("gil", "--pid", str(target.pid))
        time.sleep(1)
        target.kill()
        out, err = heddle.communicate(timeout=60)
    finally:
        target.kill()
        target.communicate()
    check_eq(heddle.returncode, 0, err)
    check_in(b"ended by signal 9", out)


@alone
def gil_knows_the_interval_that_a_program_sets(place):
    slow = "import sys, time; time.sleep(0.5); sys.setswitchinterval(0.05); time.sleep(0.5)"
    r, found = watched(place, "--", DEBIAN, "-c", slow)
    check_eq(found["python"]["switch_interval_us"], 50000)
    lock = found["locks"][0]
    keys = ("interval_us", "interval_least_us", "interval_most_us")
    check_eq([lock[k] for k in keys], [50000, 5000, 50000], repr(r))
    check_in("switch interval    50.0 ms at last; it was from 5.00 ms to 50.0 ms", r.out)


@alone
def gil_says_that_there_are_children(place):
    two = "import os, time; time.sleep(0.5); os.fork() and os.fork() and time.sleep(0.2)"
    r, found = watched(place, "--", DEBIAN, "-c", two)
    if not means(found, "thread records")["used"]:
        raise Skip("no records of the kernel's")
    check_in("the 2 that it started were not watched; --follow", " ".join(r.out.split()))


@alone
def gil_follows_children(place):
    shell = "%s %s 2 1000000; sleep 1.2" % (DEBIAN, script(place, COUNT))
    r = place.run("gil", "--follow", "--", "sh", "-c", shell)
    check_eq(r.status, 0, repr(r))
    check_in("Python 3", r.out)  # though it has ended long before the shell
    check_in("hand-overs", r.out)


@alone
def an_interrupted_gil_reports(place):
    heddle = place.start("gil", "--", DEBIAN, script(place, WAITS), "2")
    heddle.stdout.readline()  # the target is ready
    time.sleep(0.3)
    heddle.send_signal(signal.SIGINT)
    out, err = heddle.communicate(timeout=60)
    check_eq(heddle.returncode, 130, err)
    check_in(b"interrupted", out)
    check_in(b"The GIL", out)
    # What was launched goes on when we end; here nobody else would end it.
    for pid in harness.alive("script.py 2"):
        os.kill(int(pid), signal.SIGKILL)


@alone
def a_python_that_becomes_another_program_is_reported(place):
    again = ("import os, sys, time\ntime.sleep(0.3)\n"
             "if len(sys.argv) > 2: os.execv('/bin/sh', ['sh', '-c', 'sleep 0.3'])\n"
             "os.execv(sys.executable, [sys.executable] + sys.argv + ['x'])\n")
    for more in ([], ["--no-perf"]):
        r, found = watched(place, *more, "--", DEBIAN, script(place, again), "first")
        check_in("Python 3", r.out)
        check_eq(found["ended"], "to its end")
        check(len(found["locks"]) >= 1, repr(r))


@alone
def gil_of_what_a_shell_starts(place):
    command = "%s %s 2 3000000; %s %s 2 3000000; true" % ((DEBIAN, script(place, COUNT)) * 2)
    r = place.run("gil", "--quiet", "--", "sh", "-c", command)
    check_eq(r.status, 3, repr(r))
    check_in("--follow", r.err)
    r, found = watched(place, "--follow", "--", "sh", "-c", command)
    need_watchpoint(found)
    check_eq(len([t for t in named(found, "count") if t["takes"]]), 4, repr(r))
    check_eq(len(found["locks"]), 2, repr(r))
    check_eq(len({lock["pid"] for lock in found["locks"]}), 2, repr(r))
    check_in("2 processes were seen, each with a GIL of its own", r.out.replace("\n", " "))
    for lock in found["locks"]:
        check(lock["takes"] >= 1, lock)


@alone
def a_program_that_ends_badly_is_reported(place):
    # Long enough to be found on a busy machine.
    wait = "import os, sys, time; time.sleep(0.5); "
    r, found = watched(place, "--", DEBIAN, "-c", wait + "sys.exit(7)")
    check_in("ended with status 7", " ".join(r.out.split()))
    check_eq(found["ended"], "ended with status 7")
    r, found = watched(place, "--", DEBIAN, "-c", wait + "os.kill(os.getpid(), 9)")
    check_eq(found["ended"], "ended by signal 9")


@alone
def gil_writes_what_it_is_asked_for(place):
    r = place.run("gil", "--quiet", "--json", "-", "--csv", "t.csv", "--collapsed", "t.txt",
                  "--trace", "t.trace", "-o", "text", "--", DEBIAN, script(place, COUNT), "2",
                  "1000000")
    check_eq(r.status, 0, repr(r))
    check_eq(json.loads(r.out)["command"], "gil")
    with open(place.path("t.csv")) as f:
        check(len(f.readlines()) >= 4)
    with open(place.path("t.trace")) as f:
        json.load(f)
    with open(place.path("text")) as f:
        check_in("The GIL", f.read())


@alone
def what_gil_cannot_watch_is_said(place):
    r = place.run("gil", "--", "sleep", "0.05")
    check_eq(r.status, 3, repr(r))
    check_in("no Python was found in", r.err)
    check_in("heddle threads", r.err)
    r = place.run("gil", "--", "true")
    check_eq(r.status, 3, repr(r))
    check("not asked for" not in r.err, r.err)
    r = place.run("gil", "--", "there-is-none")
    check_eq(r.status, 127, repr(r))
    check_eq(place.run("gil", "--", "/etc/passwd").status, 126)
    check_in("there-is-none", r.err)
    r = place.run("gil", "--pid", "999999999")
    check_eq(r.status, 3, repr(r))


@alone
def wrong_options_of_gil_are_refused(place):
    for args, part_of in (([], "what shall be watched?"), (["--pid", "x"], "'x' is not the number"),
                          (["--pid", "1", "--", "true"], "not both"),
                          (["--pid", "1", "--preload"], "is for a command"),
                          (["--for", "soon", "--", "true"], "'soon' is not a time"),
                          (["--for", "0", "--", "true"], "'0' is not a time"),
                          (["--every", "20s", "--", "true"], "is not a time from 100us"),
                          (["--json", "x", "-o", "x", "--", "true"], "cannot both go to"),
                          (["--json", "/nonesuch/x", "--", "true"], "/nonesuch/x"),
                          (["--fast", "--", "true"], "unknown option")):
        r = place.run("gil", *args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check_in(part_of, r.err)
    check_in("Usage: heddle gil", place.run("gil", "--help").out)


@alone
def a_commands_own_options_are_its_own(place):
    count = "import sys, time; time.sleep(0.5); sys.exit(len(sys.argv))"
    r, found = watched(place, DEBIAN, "-c", count, "--help", "-x")
    check_eq(found["ended"], "ended with status 3")
    check_eq(found["target"][-2:], ["--help", "-x"])
