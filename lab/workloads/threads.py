# SPDX-License-Identifier: MIT
"""What threads cost in Python: the workloads that the lab runs with every interpreter it finds.

Runs unchanged on Python 2.7 to 3.15, with or without the global lock, on the standard library
alone. The command line and the output are those of the bench programs:

    python threads.py EXPERIMENT [--NAME VALUE]...
    python threads.py list

    sample METRIC UNIT VALUE
    note KEY TEXT
    error TEXT

The work is the same as in the C programs of the same names, by the means that Python has. There
is no `switch`: Python has no call that hands the processor to another thread. `wake` is nearest.
"""
from __future__ import print_function

import gc
import os
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


def spawn(options):
    """Starting threads that do next to nothing, and joining them."""
    limit_cpus(options["workers"])
    ran = [0] * options["count"]

    def count_me(i):
        ran[i] += 1

    def one_at_a_time(n):
        ran[0] = 0
        begin = clock()
        for _ in range(n):
            thread = threading.Thread(target=count_me, args=(0,))
            thread.start()
            thread.join()
        seconds = clock() - begin
        if ran[0] != n:
            raise CannotMeasure("%d of %d threads ran" % (ran[0], n))
        return seconds / n * 1e9

    def in_batches(n):
        count = options["count"]
        rounds = max(n // count, 1)
        ran[:] = [0] * count
        begin = clock()
        for _ in range(rounds):
            threads = [threading.Thread(target=count_me, args=(i,)) for i in range(count)]
            start_all(threads)
            join_all(threads)
        seconds = clock() - begin
        if sum(ran) != rounds * count:
            raise CannotMeasure("%d of %d threads ran" % (sum(ran), rounds * count))
        return seconds / (rounds * count) * 1e9

    n = options["iterations"]
    one_at_a_time(n // 10 + 1)
    for _ in range(options["samples"]):
        sample("single_ns", "ns", one_at_a_time(n))
        sample("batch_ns", "ns", in_batches(n))


def lifecycle(options):
    """Many threads that sleep a moment: made, started and joined one after the other."""
    use_stacks_of(options["stack-size"])
    limit_cpus(options["workers"])
    count = options["threads"]
    seconds = options["sleep-us"] / 1e6
    first = [0.0] * count

    def sleep_a_moment(i):
        first[i] = clock()
        time.sleep(seconds)

    def live():
        threads = []
        called = [0.0] * count
        create = start = 0.0
        switches = context_switches() if resource else 0
        begin = clock()
        for i in range(count):
            before = clock()
            thread = threading.Thread(target=sleep_a_moment, args=(i,))
            threads.append(thread)
            made = clock()
            try:
                thread.start()
            except Exception as error:  # thread.error in 2.7, RuntimeError in 3
                raise CannotMeasure("only %d of %d threads could be started: %s"
                                    % (i, count, error))
            after = clock()
            called[i] = made
            create += made - before
            start += after - made
        middle = clock()
        join_all(threads)
        end = clock()
        if resource:
            switches = context_switches() - switches
        delays = [f - c for f, c in zip(first, called)]
        if min(delays) < 0:
            raise CannotMeasure("a thread did not run")
        first[:] = [0.0] * count
        return create, start, end - middle, end - begin, quantile(delays, 0.5), switches

    live()
    gc.collect()
    for _ in range(options["samples"]):
        create, start, join, total, to_first, switches = live()
        sample("create_ms", "ms", create * 1e3)
        sample("start_ms", "ms", start * 1e3)
        sample("join_ms", "ms", join * 1e3)
        sample("total_ms", "ms", total * 1e3)
        sample("first_ms", "ms", to_first * 1e3)
        if resource:
            sample("switches_per_thread", "count", switches / float(count))


def wake(options):
    """A thread releases a lock for which another waits on another CPU."""
    cpus = allowed_cpus()
    if len(cpus) < 2 or options["workers"] < 2:
        raise CannotMeasure("a wake-up across CPUs needs two of them")
    gap = options["gap-us"] / 1e6

    def play(rounds):
        mine = [threading.Lock(), threading.Lock()]
        posted = [0.0, 0.0]
        delays = [[0.0] * rounds, [0.0] * rounds]
        trouble = []
        for lock in mine:
            lock.acquire()

        def post(side):
            posted[side] = clock()
            mine[side].release()

        def wait(side, i):
            mine[side].acquire()
            delays[side][i] = clock() - posted[side]

        def waker():
            for i in range(rounds):
                if gap:
                    time.sleep(gap)
                post(0)
                wait(1, i)

        def answerer():
            for i in range(rounds):
                wait(0, i)
                post(1)

        def on_cpu(side, run):
            try:
                keep_on_cpus([cpus[side]])
            except Exception as error:
                trouble.append(str(error))
            run()

        threads = [threading.Thread(target=on_cpu, args=(0, answerer)),
                   threading.Thread(target=on_cpu, args=(1, waker))]
        start_all(threads)
        join_all(threads)
        if trouble:
            raise CannotMeasure(trouble[0])
        return delays[0] if gap else delays[0] + delays[1]

    n = options["iterations"]
    play(n // 10 + 1)
    prefix = "parked" if gap else "spin"
    for _ in range(options["samples"]):
        delays = play(n)
        sample(prefix + "_p50_ns", "ns", quantile(delays, 0.5) * 1e9)
        sample(prefix + "_p99_ns", "ns", quantile(delays, 0.99) * 1e9)
    note("means", "two threads that hand over by threading.Lock")


def blocked(count, stack_size, workers):
    """Threads that will say `here` and wait at a gate."""
    use_stacks_of(stack_size)
    limit_cpus(workers)
    gate = threading.Lock()  # whoever gets it gives it back at once
    gate.acquire()
    here = threading.Semaphore(0)

    def wait_at_gate():
        here.release()
        gate.acquire()
        gate.release()

    threads = [threading.Thread(target=wait_at_gate) for _ in range(count)]
    for thread in threads:
        thread.daemon = True  # a failure must not leave the process waiting for them
    return threads, gate, here


def capacity(options):
    """Very many threads that all wait at once, then are let go and joined.

    Without --stack-size they get the stacks that Python gives them, as programs do. One round a
    process, whatever --samples says: stacks and objects are kept for later, so that a second
    round would not begin anew."""
    count = options["threads"]
    resident = resident_bytes()
    address = status_fields().get("VmSize", 0)
    begin = clock()
    threads, gate, here = blocked(count, options["stack-size"], options["workers"])
    start_all(threads)
    for _ in range(count):
        here.acquire()
    middle = clock()
    resident = resident_bytes() - resident
    address = status_fields().get("VmSize", 0) - address
    release = clock()
    gate.release()
    join_all(threads)
    end = clock()
    sample("start_ms", "ms", (middle - begin) * 1e3)
    sample("release_ms", "ms", (end - release) * 1e3)
    sample("total_ms", "ms", (middle - begin + end - release) * 1e3)
    sample("bytes_per_thread", "bytes", max(resident, 0) / float(count))
    sample("address_bytes_per_thread", "bytes", max(address, 0) / float(count))
    sample("ok_threads", "count", count)


def idle(options):
    """How much CPU the process uses while all of its threads wait."""
    if not resource:
        raise CannotMeasure("no module 'resource'")
    threads, gate, here = blocked(options["threads"], options["stack-size"], options["workers"])
    start_all(threads)
    for _ in threads:
        here.acquire()
    time.sleep(0.05)

    def cpu():
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    for _ in range(options["samples"]):
        used = cpu()
        begin = clock()
        time.sleep(options["seconds"])
        sample("idle_cpu_percent", "percent", 100 * (cpu() - used) / (clock() - begin))
    gate.release()
    join_all(threads)


# name: (function, {parameter: default})
EXPERIMENTS = {
    "spawn": (spawn, {"workers": 1, "count": 1000, "iterations": 1000, "samples": 3}),
    "lifecycle": (lifecycle, {"threads": 1000, "stack-size": 0, "sleep-us": 1000, "workers": 0,
                              "samples": 5}),
    "wake": (wake, {"workers": 2, "iterations": 2000, "gap-us": 0, "samples": 5}),
    "capacity": (capacity, {"threads": 1000, "stack-size": 0, "workers": 0, "samples": 1}),
    "idle": (idle, {"workers": 0, "threads": 1000, "seconds": 2, "stack-size": 0, "samples": 1}),
}


def usage(message):
    sys.stderr.write("%s\nusage: threads.py EXPERIMENT [--NAME VALUE]...\n"
                     "       threads.py list\n" % message)
    for name in sorted(EXPERIMENTS):
        words = " ".join("--%s %d" % item for item in sorted(EXPERIMENTS[name][1].items()))
        sys.stderr.write("  %-10s %s\n" % (name, words))
    return 2


def main(arguments):
    if arguments == ["list"]:
        print("\n".join(sorted(EXPERIMENTS)))
        return 0
    if not arguments or arguments[0] not in EXPERIMENTS:
        return usage("unknown experiment '%s'" % arguments[0] if arguments else "no experiment")
    run, defaults = EXPERIMENTS[arguments[0]]
    options = dict(defaults)
    rest = arguments[1:]
    while rest:
        name = rest[0][2:]
        if not rest[0].startswith("--") or name not in options:
            return usage("unknown option '%s'" % rest[0])
        if len(rest) < 2 or not rest[1].isdigit():
            return usage("--%s needs a number" % name)
        options[name] = int(rest[1])
        rest = rest[2:]
    for name in ("threads", "count", "iterations", "samples", "seconds"):
        if options.get(name) == 0:
            return usage("--%s must not be 0" % name)
    try:
        run(options)
    except (CannotMeasure, MemoryError) as error:
        print("error %s" % (error or "no memory"))
        sys.stdout.flush()
        os._exit(3)  # threads that wait may be left
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
