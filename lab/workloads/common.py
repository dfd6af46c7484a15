# SPDX-License-Identifier: MIT
"""What the workloads share: the protocol, the clock, CPUs and threads, the command line.

Runs unchanged on Python 2.7 to 3.15, on the standard library alone.
"""
from __future__ import print_function

import os
import platform
import sys
import threading
import time

try:
    import resource
except ImportError:
    resource = None

try:
    clock = time.perf_counter
except AttributeError:  # Python 2: microseconds at best
    clock = time.time


class CannotMeasure(Exception):
    pass


def sample(metric, unit, value):
    print("sample %s %s %.9g" % (metric, unit, value))


def note(key, text):
    print("note %s %s" % (key, text))


def quantile(values, part):
    values = sorted(values)
    at = part * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


# ---- the interpreter ----

def has_global_lock():
    try:
        return sys._is_gil_enabled()
    except AttributeError:  # before 3.13
        return True


def specializes():
    """Whether this is a CPython whose instructions replace themselves: free-threaded builds have
    learned it one version later than they came."""
    try:
        import sysconfig
        free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    except Exception:
        free = False
    return is_cpython() and sys.version_info >= ((3, 14) if free else (3, 11))


def is_cpython():
    return platform.python_implementation() == "CPython"


def note_build():
    """How the interpreter was built: two of one version may differ by a third for that alone."""
    if not is_cpython():
        return
    try:
        import sysconfig
        arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
        flags = "%s %s" % (arguments, sysconfig.get_config_var("PY_CFLAGS") or "")
    except Exception:
        return
    made = ["profile-guided" if "--enable-optimizations" in arguments else "not profile-guided"]
    made.append("link-time optimization" if "--with-lto" in arguments or "-flto" in flags
                else "no link-time optimization")
    made.append(platform.python_compiler() or "unknown compiler")
    note("build", ", ".join(made))


# ---- the system ----

def keep_on_cpus(cpus):
    """Keeps the calling kernel thread, and those that it makes, on these CPUs."""
    try:
        os.sched_setaffinity(0, cpus)
    except AttributeError:  # before 3.3
        import ctypes
        mask = (ctypes.c_ulong * 16)()
        for cpu in cpus:
            mask[cpu // 64] |= 1 << (cpu % 64)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.sched_setaffinity(0, ctypes.sizeof(mask), mask) != 0:
            raise CannotMeasure("sched_setaffinity: %s" % os.strerror(ctypes.get_errno()))


def status_fields(path="/proc/self/status"):
    """The fields of /proc/self/status that are counted in kB, in bytes."""
    fields = {}
    with open(path) as f:
        for line in f:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                fields[words[0].rstrip(":")] = int(words[1]) * 1024
            elif words and words[0] == "Cpus_allowed_list:":
                fields["cpus"] = words[1] if len(words) > 1 else "0"
    return fields


def allowed_cpus():
    cpus = []
    for part in status_fields().get("cpus", "0").split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def limit_cpus(workers):
    if workers:
        keep_on_cpus(allowed_cpus()[:workers])


def resident_bytes():
    fields = status_fields()
    return fields.get("VmRSS", 0) + fields.get("VmPTE", 0)


def context_switches():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw + usage.ru_nivcsw


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# ---- threads ----

def use_stacks_of(size):
    if size:
        threading.stack_size(max(size, 65536))


def start_all(threads):
    """Starts them; after an error joins those that run and raises CannotMeasure."""
    for i, thread in enumerate(threads):
        try:
            thread.start()
        except Exception as error:  # thread.error in 2.7, RuntimeError in 3
            raise CannotMeasure("only %d of %d threads could be started: %s"
                                % (i, len(threads), error))


def join_all(threads):
    for thread in threads:
        thread.join()


def side_by_side(work, cpus=None):
    """Runs the functions in threads of their own, all let go at once. Returns the seconds from
    then until the last ended, and the list of what they returned. With CPUs, the first function
    runs on the first, and so on."""
    gate = threading.Lock()
    gate.acquire()
    here = threading.Semaphore(0)
    results = [None] * len(work)
    ends = [0.0] * len(work)
    trouble = []

    def run(i):
        try:
            if cpus:
                keep_on_cpus([cpus[i % len(cpus)]])
        except Exception as error:
            trouble.append("%s: %s" % (type(error).__name__, error))
        here.release()
        gate.acquire()
        gate.release()
        try:
            results[i] = work[i]()
        except Exception as error:
            trouble.append("%s: %s" % (type(error).__name__, error))
        ends[i] = clock()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(work))]
    for thread in threads:
        thread.daemon = True  # after an error nobody waits for those at the gate
    start_all(threads)
    for _ in threads:
        here.acquire()
    begin = clock()
    gate.release()
    join_all(threads)
    if trouble:
        raise CannotMeasure(trouble[0])
    return max(ends) - begin, results


# ---- code ----

def define(source, names=None):
    """What a source text defines. Each call compiles anew: what an interpreter remembers at the
    instructions of a function (3.8 and later) begins empty."""
    space = {"__name__": "workload", "__builtins__": __builtins__}
    space.update(names or {})
    exec(compile(source, "<workload>", "exec"), space)
    return space


def repeated(statement, times=20, before="", loop="for _ in repeat:", arguments="repeat"):
    """The source of a function `run` that executes a statement `times` times in each turn."""
    lines = ["def run(%s):" % arguments, "    " + (before or "pass"), "    " + loop]
    lines += ["        " + statement] * times
    return "\n".join(lines) + "\n"


def time_per_turn(run, turns, *arguments):
    """Seconds of one turn of run(repeat, ...): the median of five parts, so that one in which the
    kernel gave the CPU to another process does not count."""
    repeat = [None] * max(turns // 5, 1)
    times = []
    for _ in range(5):
        begin = clock()
        run(repeat, *arguments)
        times.append(clock() - begin)
    return quantile(times, 0.5) / len(repeat)


def warm(run, *arguments):
    """Calls it until every interpreter has adapted: 1024 calls in 3.8 to 3.10, fewer later, and
    in 3.11 and later backward jumps count, too."""
    for _ in range(1100):
        run((None,), *arguments)


def instructions(function, adaptive=False):
    """The instructions of a function in one line, as `dis` names them in this version; adaptive:
    as they are executed now. None where that makes no difference or cannot be told."""
    import dis
    code = getattr(function, "__code__", function)
    try:
        if adaptive:
            found = list(dis.get_instructions(code, adaptive=True))
        else:
            found = list(dis.get_instructions(code))
    except TypeError:  # no `adaptive` before 3.11
        return None
    except AttributeError:  # 2.7
        return None if adaptive else "; ".join(decode(code, dis))
    return "; ".join(("%s %s" % (i.opname, i.argrepr or ("" if i.arg is None else i.arg))).strip()
                     for i in found if i.opname != "CACHE")


def decode(code, dis):
    """The instructions of Python 2.7, whose `dis` only prints."""
    data = bytearray(code.co_code)
    at, extended = 0, 0
    cells = code.co_cellvars + code.co_freevars
    while at < len(data):
        op, words = data[at], [dis.opname[data[at]]]
        at += 1
        if op >= dis.HAVE_ARGUMENT:
            value = data[at] + data[at + 1] * 256 + extended
            at += 2
            extended = value * 65536 if op == dis.EXTENDED_ARG else 0
            if op in dis.hasconst:
                words.append(repr(code.co_consts[value]))
            elif op in dis.hasname:
                words.append(code.co_names[value])
            elif op in dis.haslocal:
                words.append(code.co_varnames[value])
            elif op in dis.hasfree:
                words.append(cells[value])
            elif op in dis.hascompare:
                words.append(dis.cmp_op[value])
            elif op in dis.hasjrel:
                words.append("to %d" % (at + value))
            else:
                words.append(str(value))
        yield " ".join(words)


def note_instructions(name, function):
    """The listing of a function, and how its instructions have been adapted where they have."""
    plain = instructions(function)
    if plain is None:
        return
    note("dis_" + name, plain)
    adapted = instructions(function, adaptive=True)
    if adapted is not None and adapted != plain:
        note("adaptive_" + name, adapted)


def note_site(name, function, prefixes):
    """Of a longer function, the adapted instructions alone whose names begin like that."""
    adapted = instructions(function, adaptive=True)
    if adapted is not None:
        note("adaptive_" + name, "; ".join(one for one in adapted.split("; ")
                                           if one.startswith(prefixes)))


# ---- the command line ----

def usage(script, experiments, message):
    sys.stderr.write("%s\nusage: %s EXPERIMENT [--NAME VALUE]...\n"
                     "       %s list\n" % (message, script, script))
    for name in sorted(experiments):
        words = " ".join("--%s %s" % (option, "|".join(default) if isinstance(default, tuple)
                                      else default)
                         for option, default in sorted(experiments[name][1].items()))
        sys.stderr.write("  %-10s %s\n" % (name, words))
    return 2


def parse(defaults, arguments):
    """The options, or what is wrong with them. A default that is a tuple lists the words that the
    option takes, the first of them by default."""
    options = {}
    for name, value in defaults.items():
        options[name] = value[0] if isinstance(value, tuple) else value
    while arguments:
        name = arguments[0][2:]
        if not arguments[0].startswith("--") or name not in options:
            return None, "unknown option '%s'" % arguments[0]
        known = defaults[name]
        if isinstance(known, tuple):
            if len(arguments) < 2 or arguments[1] not in known:
                return None, "--%s is one of: %s" % (name, ", ".join(known))
            options[name] = arguments[1]
        elif len(arguments) < 2 or not arguments[1].isdigit():
            return None, "--%s needs a number" % name
        else:
            options[name] = int(arguments[1])
        arguments = arguments[2:]
    for name in ("threads", "count", "iterations", "samples", "seconds"):
        if options.get(name) == 0:
            return None, "--%s must not be 0" % name
    return options, None


def main(experiments, arguments, script=None):
    """Runs an experiment out of {name: (function, {option: default})}. Returns the exit status."""
    script = script or os.path.basename(sys.argv[0])
    if arguments == ["list"]:
        print("\n".join(sorted(experiments)))
        return 0
    if not arguments or arguments[0] not in experiments:
        return usage(script, experiments, "unknown experiment '%s'" % arguments[0]
                     if arguments else "no experiment")
    run, defaults = experiments[arguments[0]]
    options, wrong = parse(defaults, arguments[1:])
    if wrong:
        return usage(script, experiments, wrong)
    try:
        run(options)
    except (CannotMeasure, MemoryError) as error:
        print("error %s" % (error or "no memory"))
        sys.stdout.flush()
        os._exit(3)  # threads that wait may be left
    sys.stdout.flush()
    return 0
