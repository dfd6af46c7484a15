# SPDX-License-Identifier: MIT
"""What the tests of the command share: a place with made-up subjects, running the command in it,
and TAP. Only the standard library; Python 3.6 or later."""

import fnmatch
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

# A test run in the background of a script ignores SIGINT, one under nohup SIGHUP, and so would what
# they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)

HEDDLE = "heddle"  # set by main()

# What a well-behaved subject says to each experiment.
ANSWERS = {
    "switch": "sample yield_ns ns 30\\nsample yield_ns ns 30\\nnote guard none",
    "spawn": "sample single_ns ns 60\\nsample batch_ns ns 45",
    "lifecycle": "sample create_ms ms 1\\nsample start_ms ms 2\\nsample join_ms ms 3\\n"
                 "sample total_ms ms 6\\nsample first_ms ms 0.1",
    "wake": "sample spin_p50_ns ns 200\\nsample spin_p99_ns ns 900",
    "capacity": "sample total_ms ms 200\\nsample bytes_per_thread bytes 4321\\n"
                "sample ok_threads count 100000\\nsample page_floor_ratio ratio 2.5",
    "forkjoin": "sample fib_ms ms 100",
    "idle": "sample idle_cpu_percent percent 0",
    "bare": "sample bare_switch_ns ns 3",
}

TESTS = []
ALONE = set()


def test(function):
    TESTS.append(function)
    return function


def alone(function):
    """A test that never runs beside others: it watches, or compares times."""
    ALONE.add(function)
    return test(function)


class Skip(Exception):
    pass


def check(condition, message=""):
    if not condition:
        raise AssertionError(message)


def check_eq(a, b, message=""):
    if a != b:
        raise AssertionError("%s\n  got      %r\n  expected %r" % (message, a, b))


def check_in(part, whole, message=""):
    if part not in whole:
        raise AssertionError("%s\n  %r\n  is not in\n  %s" % (message, part, whole))


class Result:
    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    def __repr__(self):
        return "status %r\n--- stdout\n%s\n--- stderr\n%s" % (self.status, self.out, self.err)


class Place:
    """A directory with subjects, workloads and a log of every call of a subject."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="heddle-lab-")
        self.log_path = self.path("log")
        for name in ("libexec", "data/workloads", "bin", "home"):
            os.makedirs(self.path(name))
        self.env = {
            "PATH": self.path("bin") + ":/usr/bin:/bin",
            "HOME": self.path("home"),
            "PYENV_ROOT": self.path("no-pyenv"),
            "HEDDLE_LIBEXEC": self.path("libexec"),
            "HEDDLE_DATADIR": self.path("data"),
            "LOG": self.log_path,
            "TERM": "xterm",
        }
        for name in os.environ:  # sanitizers are told by the environment
            if name.endswith("SAN_OPTIONS") or name.startswith("LD_"):
                self.env[name] = os.environ[name]

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.chmod(path, mode)
        return path

    def subject(self, name, answers=None, before=""):
        """A bench program. `answers` maps experiments to what printf(1) prints; a value that
        begins with "!" is shell instead. `before` is shell that runs first."""
        answers = ANSWERS if answers is None else answers
        lines = ["#!/bin/sh", 'echo "%s $*" >> "$LOG"' % name, before, 'case "$1" in']
        if "list" not in answers:
            lines.append("list) printf '%s\\n' ;;" % "\\n".join(answers))
        for experiment, answer in answers.items():
            body = answer[1:] if answer.startswith("!") else "printf '%s\\n'" % answer
            lines.append("%s) %s ;;" % (experiment, body))
        lines += ["*) echo unknown >&2; exit 2 ;;", "esac"]
        return self.write("libexec/heddle-bench-" + name, "\n".join(lines) + "\n", 0o755)

    def python(self, name, script):
        """Something in PATH that has the name of an interpreter."""
        return self.write("bin/" + name, "#!/bin/sh\n" + script + "\n", 0o755)

    def calls(self, but_list=True):
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path) as f:
            return [line.split() for line in f if not but_list or line.split()[1:2] != ["list"]]

    def start(self, *args, **kinds):
        kinds.setdefault("stdin", subprocess.DEVNULL)
        kinds.setdefault("stdout", subprocess.PIPE)
        kinds.setdefault("stderr", subprocess.PIPE)
        env = dict(self.env, **kinds.pop("env", {}))
        kinds.setdefault("cwd", self.root)
        return subprocess.Popen([HEDDLE] + list(args), env=env, **kinds)

    def run(self, *args, **kinds):
        begin = time.time()
        timeout = kinds.pop("timeout", 60)
        p = self.start(*args, **kinds)
        try:
            out, err = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            raise AssertionError("heddle %s did not end in %d s" % (" ".join(args), timeout))
        text = [(s or b"").decode("utf-8", "replace") for s in (out, err)]
        return Result(p.returncode, text[0], text[1], time.time() - begin)

    def lab(self, *args, **kinds):
        """heddle lab, with the made-up subjects alone and few processes."""
        args = list(args)
        if "--subject" not in args:
            args += ["--subject", self.names()]
        if "--repeat" not in args and "--quick" not in args:
            args += ["--repeat", "3"]
        return self.run("lab", *args, **kinds)

    def names(self):
        prefix = "heddle-bench-"
        return ",".join(n[len(prefix):] for n in os.listdir(self.path("libexec")))

    def lab_json(self, *args, **kinds):
        r = self.lab(*(list(args) + ["--json", "-"]), **kinds)
        try:
            return r, json.loads(r.out)
        except ValueError as e:
            raise AssertionError("not JSON: %s\n%r" % (e, r))

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


def alive(marker):
    """Processes whose command line contains the marker."""
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read()
        except OSError:
            continue
        if marker.encode() in line and int(pid) != os.getpid():
            found.append(pid)
    return found


def soon_dead(marker, seconds=5):
    end = time.time() + seconds
    while alive(marker):
        if time.time() > end:
            return False
        time.sleep(0.02)
    return True


def wait_for(condition, seconds=20):
    end = time.time() + seconds
    while not condition():
        check(time.time() < end, "waited too long")
        time.sleep(0.02)


def run_one(function):
    """One test in a place of its own: "ok", "not ok" with why, or why it was skipped."""
    place = Place()
    try:
        function(place)
        return "ok", ""
    except Skip as e:
        return "skip", str(e)
    except Exception as e:  # a broken test counts as a failed one
        where = traceback.extract_tb(sys.exc_info()[2])[-1]
        mine = [f for f in traceback.extract_tb(sys.exc_info()[2]) if f.name == function.__name__]
        line = (mine or [where])[-1]
        return "not ok", "%s:%d: %s: %s" % (line.filename, line.lineno, type(e).__name__, e)
    finally:
        place.close()


def results(chosen, jobs):
    """What run_one() says of each, in their order; of the first ones some run side by side."""
    beside = [t for t in chosen if t not in ALONE]
    if jobs > 1 and len(beside) > 1:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            for result in pool.imap(run_one, beside, 1):
                yield result
    else:
        for function in beside:
            yield run_one(function)
    for function in chosen[len(beside):]:
        yield run_one(function)


def main(argv, jobs=1):
    global HEDDLE
    kinds = [word for word in argv[1:] if word in ("--alone", "--beside")]
    words = [word for word in argv[1:] if word not in kinds]
    if not words:
        sys.exit("usage: %s [--alone|--beside] PATH-OF-HEDDLE [PATTERN...]" % argv[0])
    HEDDLE = os.path.abspath(words[0])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    patterns = words[1:] or ["*"]
    chosen = [t for t in TESTS if any(fnmatch.fnmatch(t.__name__, p) for p in patterns)]
    if kinds:
        chosen = [t for t in chosen if (t in ALONE) == (kinds[0] == "--alone")]
    chosen.sort(key=lambda t: t in ALONE)
    print("1..%d" % len(chosen), flush=True)
    failed = 0
    for number, (kind, why) in enumerate(results(chosen, jobs), 1):
        failed += kind == "not ok"
        verdict = "not ok" if kind == "not ok" else "ok"
        skip = " # SKIP " + why if kind == "skip" else ""
        print("%s %d - %s%s" % (verdict, number, chosen[number - 1].__name__, skip))
        if kind == "not ok":
            print("\n".join("# " + line for line in why.splitlines()))
        sys.stdout.flush()
    sys.exit(1 if failed else 0)
