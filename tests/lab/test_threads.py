# SPDX-License-Identifier: MIT
"""heddle threads on programs of which it is known what their threads do.

The machine may be busy: nothing here depends on how long something took."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess

import harness
from harness import Skip, alone, check, check_eq, check_in, test

TARGET = os.environ.get("HEDDLE_THREADS_TARGET", "")
DEBIAN = "/usr/bin/python3"


class Target:
    """Runs until the block ends; is ready when it begins."""

    def __init__(self, *args):
        if not TARGET:
            raise Skip("HEDDLE_THREADS_TARGET does not say where the program is")
        self.args = args

    def __enter__(self):
        self.process = subprocess.Popen([TARGET] + list(self.args), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE)
        check_eq(self.process.stdout.readline(), b"ready\n", "the target's first line")
        self.pid = str(self.process.pid)
        return self

    def __exit__(self, *what):
        self.process.kill()
        self.process.communicate()


class Script:
    """Python code that runs until the block ends; it has said that it is ready when it begins."""

    def __init__(self, place, code, *args, python=DEBIAN):
        if not os.path.exists(python):
            raise Skip("there is no " + python)
        with open(place.path("script.py"), "w") as f:
            f.write(code)
        self.args = [python, place.path("script.py")] + list(args)

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE)
        check_eq(self.process.stdout.readline(), b"ready\n", "the script's first line")
        return str(self.process.pid)

    def __exit__(self, *what):
        self.process.kill()
        self.process.communicate()


def watched(place, *args, **kinds):
    """Runs heddle threads; the text, and what is in the JSON."""
    kinds.setdefault("timeout", 120)
    r = place.run("threads", "--quiet", "--json", "found.json", *args, **kinds)
    if r.status == 3 and "ptrace" in r.err:
        raise Skip(r.err.strip())
    check_eq(r.status, 0, repr(r))
    with open(place.path("found.json")) as f:
        return r, json.load(f)


def once(place, pid):
    r = place.run("threads", "--once", "--pid", pid)
    if r.status == 3 and "may not be read" in r.err:
        raise Skip(r.err.strip())
    check_eq(r.status, 0, repr(r))
    return r.out


def table(found, name):
    """The rows of a table, each with its columns' names."""
    return found["tables"].get(name, [])


def named(found, name):
    return [t for t in found["threads"] if t["name"] == name]


def joined(text):
    """Without the ends of lines, which depend on the lengths of numbers."""
    return " ".join(text.split())


def has_stacks():
    return os.uname().machine == "x86_64"


@alone
def threads_wants_a_target(place):
    for args, said in (((), "what shall be watched?"),
                       (("--pid", "0"), "not the number of a process"),
                       (("--pid", "1", "--", "true"), "not both"),
                       (("--once", "--", "true"), "--once is for a process that runs"),
                       (("--once", "--pid", "1", "--csv", "x"), "--once is text alone"),
                       (("--for", "soon", "--", "true"), "not a time"),
                       (("--output", "x", "--csv", "x", "--", "true"), "two outputs")):
        r = place.run("threads", *args)
        check_eq(r.status, 2, repr(r))
        check_in(said, r.err)
        check_eq(r.out, "")


@alone
def threads_says_that_a_process_is_gone(place):
    gone = subprocess.Popen(["true"])
    gone.wait()
    for args in (("--once",), ("--for", "1s")):
        r = place.run("threads", "--pid", str(gone.pid), *args)
        check_eq(r.status, 3, repr(r))
        check_in(str(gone.pid), r.err)


@alone
def threads_cannot_start_what_is_not_there(place):
    r = place.run("threads", "--", "no-such-command-at-all")
    check_eq(r.status, 3, repr(r))
    check_in("no-such-command-at-all", r.err)


@alone
def threads_at_one_moment(place):
    with Target("locks") as target:
        for _ in range(100): # it says that it is ready, and goes to sleep then
            text = once(place, target.pid)
            if "pause" in text:
                break
        check_in("4 threads", text.split("\n")[0])
        check_in("2 threads: customer-1", text)
        check_in("customer-2", text)
        check_in("futex shop_door (threads-target)", text)
        check_in("pause", text)
        check_in("clock (", text)
        if has_stacks():
            check_in("enter_shop", text)
            check_in("customer", text)
        check(target.process.poll() is None, "the target has ended")


@test
def threads_that_wait_for_each_other_at_one_moment(place):
    if not has_stacks():
        raise Skip("locks are told by stacks, which are known on x86_64 alone")
    with Target("circle") as target:
        text = joined(once(place, target.pid))
        check_in("wait for each other in a circle, so that none of them can go on", text)
        for i in range(3):
            at = "[+]%d" % (40 * ((i + 1) % 3)) if i != 2 else ""
            check(re.search(r"`diner-%d` \(\d+\) waits for the mutex chopsticks%s "
                            r"\(threads-target\)[^,]*, which `diner-%d`"
                            % (i, at, (i + 1) % 3), text), "%d: %s" % (i, text))
        check(re.search(r"Thread `narcissus` \(\d+\) waits for a lock that it has itself", text),
              text)
        check(re.search(r"futex mirror \(threads-target\) which `narcissus` \(\d+\) has", text),
              text)
    with Target("locks") as target:
        text = joined(once(place, target.pid))
        check("circle" not in text, text)
        check(re.search(r"futex shop_door \(threads-target\) which `threads-target` "
                        r"\(%s\) has" % target.pid, text), text)


# Says that it is ready once the kernel has said several times that all of its threads sleep.
SLEEPING = """
def wait_for_sleep(threads):
    seen = 0
    while seen < 5:
        time.sleep(.02)
        texts = [open("/proc/self/task/%d/stat" % t.native_id).read() for t in threads]
        seen = seen + 1 if all(")" in t and t.rsplit(")", 1)[1].split()[0] == "S"
                               for t in texts) else 0
    print("ready", flush=True)
"""

CIRCLE = SLEEPING + """
import threading, sys, time
make = getattr(threading, sys.argv[1])
a, b = make(), make()
door = threading.Barrier(2)
passed = []
def left():
    with a:
        door.wait()
        passed.append(1)
        with b: # left's line
            pass
def right():
    with b:
        door.wait()
        passed.append(1)
        with a: # right's line
            pass
threads = [threading.Thread(target=f, name="the " + f.__name__, daemon=True) for f in (left, right)]
for t in threads:
    t.start()
while len(passed) < 2:
    time.sleep(.01)
wait_for_sleep(threads)
time.sleep(600)
"""


def pythons():
    """Debian's, those that pyenv has from 3.8 on, a free-threaded one, and those in
    HEDDLE_TEST_PYTHONS, /opt/python3.14:/opt/python3.15, say."""
    found = [p for p in glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python"))
             if int(p.split("/3.")[1].split(".")[0]) >= 8]
    free = os.environ.get("HEDDLE_FREE_THREADED", "/opt/python3.13t") + "/bin/python3.13t"
    more = os.environ.get("HEDDLE_TEST_PYTHONS", "").split(":")
    return [p for p in [DEBIAN] + sorted(found) + [free] + more if os.path.exists(p)]


@test
def threads_that_wait_for_each_other_in_python(place):
    if not pythons():
        raise Skip("no Python was found")
    for python, kind in [(p, k) for p in pythons() for k in ("RLock", "Lock")]:
        with Script(place, CIRCLE, kind, python=python) as pid:
            text = joined(once(place, pid))
        check_eq(text.count("waits for the threading.%s at 0x" % kind),
                 4 if kind == "RLock" else 2, python + ": " + text)
        check_in("left (%s:" % place.path("script.py"), text)
        if kind == "Lock": # does not know who has it
            check("circle" not in text, text)
            continue
        check_in("wait for each other in a circle", text)
        for one, other, mark in (("left", "right", "left's line"),
                                 ("right", "left", "right's line")):
            line = [i for i, l in enumerate(CIRCLE.split("\n"), 1) if mark in l][0]
            check(re.search(r"`the %s` \(\d+\) waits for the threading.RLock at 0x[0-9a-f]+ "
                            r"\(script.py:%d \(%s\)\), which `the %s`"
                            % (one, line, one, other), text), text)


@alone
def threads_that_are_blocked_and_on_what(place):
    with Target("locks") as target:
        r, found = watched(place, "--pid", target.pid, "--for", "700ms")
        check_eq(len(found["threads"]), 4)
        for name in ("customer-1", "customer-2"):
            states = named(found, name)[0]["state_ns"]
            check(states["blocked"] > 0.9 * sum(states.values()), "%s: %r" % (name, states))
        places = [p for p in table(found, "blocked_at")
                  if p["object"] == "shop_door (threads-target)"]
        check_eq(len(places), 1, repr(table(found, "blocked_at")))
        check_eq(places[0]["threads"], 2)
        check_eq(places[0]["call"], "futex")
        if has_stacks():
            check_in("enter_shop", places[0]["stack"])
            check_in("enter_shop", r.out)
        check_in("shop_door", r.out)
        check(target.process.poll() is None, "the target has ended")


@test
def threads_that_wait_for_ever(place):
    if not has_stacks():
        raise Skip("locks are told by stacks, which are known on x86_64 alone")
    with Target("circle") as target:
        r, found = watched(place, "--pid", target.pid, "--for", "1s")
    first = found["verdict"][0]
    check(re.match(r"Threads `diner-\d`, `diner-\d` and `diner-\d` wait for each other in a "
                   r"circle, so that none of them can go on:", first), first)
    check_in("`diner-2` waits for the mutex chopsticks (threads-target)", first)
    check_in("Thread `narcissus` waits for a lock that it has itself", first)
    check_eq(sorted(row["circle"] for row in table(found, "locks_never_had")), ["yes"] * 4)
    with Target("locks") as target:
        r, found = watched(place, "--pid", target.pid, "--for", "1s")
        first = found["verdict"][0]
        check(re.match(r"Nobody let go of the mutex shop_door \(threads-target\) in the last .* "
                       r"that were watched: `customer-\d`, `customer-\d` waited for it in vain",
                       first), first)
        check_in("`threads-target` has it.", first)
        for row in table(found, "locks_never_had"):
            check_eq((row["circle"], row["owner"]), ("no", target.pid), repr(row))
        check_eq(table(found, "locks_waited"), [])


@test
def threads_that_wait_for_ever_in_python(place):
    for kind in ("RLock", "Lock"):
        with Script(place, CIRCLE, kind) as pid:
            r, found = watched(place, "--pid", pid, "--for", "1500ms")
        stuck = table(found, "locks_never_had")
        check_eq(sorted(row["kind"] for row in stuck), ["threading." + kind] * 2, repr(stuck))
        check_eq([row["circle"] for row in stuck], ["yes" if kind == "RLock" else "no"] * 2)
        check_eq(sorted(row["at"].split(" ")[1] for row in stuck), ["(left)", "(right)"])
        check_in("wait for each other in a circle" if kind == "RLock" else "Nobody let go of the "
                 "threading.Lock at 0x", found["verdict"][0])
        check_in("`the left`", " ".join(found["verdict"]))


CONTENDED = """
import hashlib, threading, queue, sys, time
lock, idle = threading.Lock(), queue.Queue()
data = b"x" * (1 << 20)
end = time.time() + float(sys.argv[1])
def work():
    while time.time() < end:
        with lock: # the line
            hashlib.sha256(data).digest()
def wait():
    idle.get()
workers = [threading.Thread(target=work, name="worker-%d" % i) for i in range(4)]
waiters = [threading.Thread(target=wait, name="idle-%d" % i) for i in range(3)]
for t in waiters + workers:
    t.start()
for t in workers:
    t.join()
for t in waiters:
    idle.put(1)
"""


@alone
def threads_that_wait_for_a_lock_of_python(place):
    line = [i for i, l in enumerate(CONTENDED.split("\n"), 1) if "the line" in l][0]
    with open(place.path("script.py"), "w") as f:
        f.write(CONTENDED)
    if not os.path.exists(DEBIAN):
        raise Skip("there is no " + DEBIAN)
    r, found = watched(place, "--", DEBIAN, place.path("script.py"), "1.5")
    locks = table(found, "locks_waited")
    check(locks, "no lock was waited for: " + r.out)
    check_eq((locks[0]["kind"], locks[0]["at"]), ("threading.Lock", "script.py:%d (work)" % line))
    # Of one or the other there may be no look while it waits.
    threads = locks[0]["threads"]
    check(threads in (2, 3, 4), repr(locks))
    others = [row for row in locks[1:] if row["at"] and "(wait)" in row["at"]]
    check_eq(others, [], "waiting for a queue is waiting for a lock")
    said = [s for s in found["verdict"] if "for locks" in s]
    check_eq(len(said), 1, repr(found["verdict"]))
    check_in("for the threading.Lock at 0x", said[0])
    check_in("which %d threads waited for (script.py:%d (work))" % (threads, line), said[0])
    check_in("worker-0", [t["name"] for t in found["threads"]])


@alone
def threads_that_come_and_go(place):
    if not TARGET:
        raise Skip("HEDDLE_THREADS_TARGET does not say where the program is")
    r, found = watched(place, "--", TARGET, "brief", "60")
    records = [m for m in found["means"] if m["name"] == "thread records"][0]
    if not records["used"]:
        raise Skip("no records of threads here: " + str(records["why"]))
    check_eq(found["counts"]["events_lost"], 0)
    lives = dict((row["what"], row) for row in table(found, "lives"))
    check_eq(lives["lifetime"]["count"], 60)
    check_eq(lives["creation to first run"]["count"], 60)
    check(0 < lives["lifetime"]["median_ns"] <= lives["lifetime"]["max_ns"], repr(lives))
    check_in("60 threads were made", r.out)
    check_eq(len(found["threads"]), 61)


@alone
def threads_that_lived_briefly_are_told_so(place):
    if not TARGET:
        raise Skip("HEDDLE_THREADS_TARGET does not say where the program is")
    r, found = watched(place, "--", TARGET, "brief", "60")
    check_in("Threads, % of each one's own time", r.out)
    if not [m for m in found["means"] if m["name"] == "thread records"][0]["used"]:
        raise Skip("there are no records of threads")
    check_in("lived a tenth of the time or less: ", joined(r.out))  # the shortest of 60 did


@alone
def threads_keeps_as_many_spans_as_asked_for(place):
    if not TARGET:
        raise Skip("HEDDLE_THREADS_TARGET does not say where the program is")
    r, found = watched(place, "--spans", "7", "--html", "page.html", "--", TARGET, "brief", "60")
    check_eq(len(found["spans"]), 7)
    check(found["counts"]["spans_dropped"] > 0, found["counts"])
    check_in("The oldest %d spans of the timeline were dropped" % found["counts"]["spans_dropped"],
             joined(r.out))
    r, found = watched(place, "--spans", "0", "--html", "page.html", "--", TARGET, "brief", "5")
    check_eq(found["spans"], [])
    check(sum(t["state_ns"]["on_cpu"] for t in found["threads"]) > 0, found["threads"])
    r = place.run("threads", "--spans", "many", "--", "true")
    check_eq(r.status, 2)
    check_in("--spans: 'many' is not a number from 0 to 16777216", r.err)


@alone
def threads_of_a_program_that_uses_heddle(place):
    with Target("heddle", "5000") as target:
        waiting = "5000 5000 waits for sem gate (threads-target), in guest (threads-target)"
        harness.wait_for(lambda: waiting in joined(once(place, target.pid)))
        text = joined(once(place, target.pid))
        check_in("Heddle's own threads, on 2 workers", text)
        check_in("5001 at the last of 1 look.", text)
        check_in(waiting, text)
        check_in("waits for a sleep to end", text)
        check_in("hd__wait_park", text)
        for tries in range(5): # a busy machine may leave no time for a look
            r, found = watched(place, "--pid", target.pid, "--for", "500ms")
            groups = table(found, "heddle_groups")
            if groups:
                break
        check_eq(groups[0]["waits_for"], "sem")
        check_eq(groups[0]["last"], 5000)
        check_in("It uses heddle: 5001 threads", joined(r.out))
        check(target.process.poll() is None, "the target has ended")


@alone
def threads_of_python(place):
    if not os.path.exists(DEBIAN):
        raise Skip("there is no " + DEBIAN)
    code = ("import threading, time\n"
            "t = threading.Thread(target=time.sleep, args=(0.3,)); t.start(); t.join()")
    r, found = watched(place, "--", DEBIAN, "-c", code)
    check_eq(len(found["threads"]), 2)
    check_in("'heddle gil'", joined(r.out))
    check_eq(found["ended"], "to its end")


@alone
def threads_without_perf(place):
    with Target("locks") as target:
        r, found = watched(place, "--no-perf", "--pid", target.pid, "--for", "700ms")
        states = named(found, "customer-1")[0]["state_ns"]
        check(states["blocked"] > 0.9 * sum(states.values()), repr(states))
        switches = [m for m in found["means"] if m["name"] == "context switches"][0]
        check(not switches["used"])
        check_in("shop_door", r.out)


@alone
def threads_writes_every_form(place):
    if not TARGET:
        raise Skip("HEDDLE_THREADS_TARGET does not say where the program is")
    r = place.run("threads", "--quiet", "--csv", "a.csv", "--trace", "a.json", "--html", "a.html",
                  "--collapsed", "a.txt", "--output", "text", "--", TARGET, "brief", "20")
    check_eq(r.status, 0, repr(r))
    check_eq(r.out, "")
    with open(place.path("text")) as f:
        check_in("How it was measured", f.read())
    with open(place.path("a.csv")) as f:
        check_in("tid", f.readline())
    with open(place.path("a.json")) as f:
        json.load(f)
    with open(place.path("a.html")) as f:
        check_in("</html>", f.read())
    check(os.path.exists(place.path("a.txt")))


@alone
def threads_leaves_its_target_alone_when_killed(place):
    with Target("locks") as target:
        p = place.start("threads", "--quiet", "--pid", target.pid)
        try:
            harness.wait_for(lambda: p.poll() is not None or has_opened(p.pid, target.pid))
            p.send_signal(signal.SIGKILL)
            p.communicate(timeout=30)
        finally:
            p.kill()
        check(target.process.poll() is None, "the target has ended")
        with open("/proc/%s/status" % target.pid) as f:
            status = f.read()
        check_in("TracerPid:\t0", status)


def has_opened(pid, target):
    """Whether the command holds files of its target's, or of the kernel's records."""
    try:
        names = [os.readlink("/proc/%d/fd/%s" % (pid, fd))
                 for fd in os.listdir("/proc/%d/fd" % pid)]
    except OSError:
        return False
    return any("perf_event" in name or "/proc/" + target in name for name in names)


@alone
def threads_of_a_process_that_is_stopped(place):
    target = subprocess.Popen(["sleep", "60"])
    try:
        target.send_signal(signal.SIGSTOP)
        pid = str(target.pid)
        r = place.run("threads", "--quiet", "--pid", pid, "--for", "300ms")
        if r.status == 3 and "ptrace" in r.err:
            raise Skip(r.err.strip())
        check_eq(r.status, 0, repr(r))
        check_in("the process was stopped", " ".join(r.out.split()))
    finally:
        target.kill()
        target.wait()



@alone
def threads_of_another_user_are_not_seen_and_it_says_so(place):
    if os.getuid() != 0 or not shutil.which("setpriv"):
        raise Skip("to be another user takes root, and setpriv")
    os.chmod(place.root, 0o755)
    with Target("locks") as target:
        r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                            harness.HEDDLE, "threads", "--once", "--pid", target.pid],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        if r.returncode in (126, 127) or b"setpriv" in r.stderr:
            raise Skip("another user cannot start the command here: " + r.stderr.decode())
        check_eq(r.returncode, 3, repr(r))
        check_in("may not be read", r.stderr.decode())
        check_in("customer-1", r.stdout.decode())
