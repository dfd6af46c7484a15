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
What is about the interpreter itself has files of its own beside this one; each also runs alone.
"""
from __future__ import print_function

import gc
import sys
import threading
import time

from common import (CannotMeasure, allowed_cpus, clock, cpu_seconds, join_all, keep_on_cpus,
                    limit_cpus, main, note, quantile, resident_bytes, resource,
                    sample, start_all, status_fields, use_stacks_of)


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
    """Many threads that sleep a moment: made, started and joined one after the other.

    The parts that need more looks at the clock are measured in a round of their own: the first
    thread-local value, from the first instruction to the last, and from the last, or from the call
    of join if that came later, until join has returned. Each is the median over the threads."""
    use_stacks_of(options["stack-size"])
    limit_cpus(options["workers"])
    count = options["threads"]
    seconds = options["sleep-us"] / 1e6
    first, last, own = [0.0] * count, [0.0] * count, [0.0] * count
    local = threading.local()

    def sleep_a_moment(i):
        first[i] = clock()
        time.sleep(seconds)

    def look_closely(i):
        first[i] = begin = clock()
        local.value = i
        own[i] = clock() - begin
        time.sleep(seconds)
        last[i] = clock()

    def start_one(run, i, threads):
        before = clock()
        thread = threading.Thread(target=run, args=(i,))
        threads.append(thread)
        made = clock()
        try:
            thread.start()
        except Exception as error:  # thread.error in 2.7, RuntimeError in 3
            raise CannotMeasure("only %d of %d threads could be started: %s" % (i, count, error))
        return before, made, clock()

    def live():
        threads = []
        called = [0.0] * count
        create = start = 0.0
        used = resource.getrusage(resource.RUSAGE_SELF) if resource else None
        begin = clock()
        for i in range(count):
            before, called[i], after = start_one(sleep_a_moment, i, threads)
            create += called[i] - before
            start += after - called[i]
        middle = clock()
        join_all(threads)
        end = clock()
        now = resource.getrusage(resource.RUSAGE_SELF) if resource else None
        delays = [f - c for f, c in zip(first, called)]
        if min(delays) < 0:
            raise CannotMeasure("a thread did not run")
        first[:] = [0.0] * count
        return create, start, end - middle, end - begin, quantile(delays, 0.5), used, now

    def parts():
        threads, cleanup = [], []
        for i in range(count):
            start_one(look_closely, i, threads)
        for i in range(count):
            begin = clock()
            threads[i].join()
            cleanup.append(clock() - max(begin, last[i]))
        if min(last) <= 0:
            raise CannotMeasure("a thread did not run")
        sample("tls_ns", "ns", quantile(own, 0.5) * 1e9)
        sample("exec_ms", "ms", quantile([b - a for a, b in zip(first, last)], 0.5) * 1e3)
        sample("cleanup_ms", "ms", quantile(cleanup, 0.5) * 1e3)

    live()
    gc.collect()
    for _ in range(options["samples"]):
        create, start, join, total, to_first, used, now = live()
        sample("create_ms", "ms", create * 1e3)
        sample("start_ms", "ms", start * 1e3)
        sample("join_ms", "ms", join * 1e3)
        sample("total_ms", "ms", total * 1e3)
        sample("first_ms", "ms", to_first * 1e3)
        if resource:
            switches = now.ru_nvcsw + now.ru_nivcsw - used.ru_nvcsw - used.ru_nivcsw
            sample("switches_per_thread", "count", switches / float(count))
            sample("user_us_per_thread", "us", (now.ru_utime - used.ru_utime) * 1e6 / count)
            sample("kernel_us_per_thread", "us", (now.ru_stime - used.ru_stime) * 1e6 / count)
    parts()


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

    for _ in range(options["samples"]):
        used = cpu_seconds()
        begin = clock()
        time.sleep(options["seconds"])
        sample("idle_cpu_percent", "percent", 100 * (cpu_seconds() - used) / (clock() - begin))
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

# The experiments that have files of their own: {experiment: module}. They are read when they are
# asked for, so that nobody waits for what is not run.
ELSEWHERE = {"affinity": "affinity", "attributes": "falsesharing", "gil": "gil",
             "names": "names", "refcount": "refcount", "specialize": "specialize"}


def experiments_for(wanted):
    """The experiments, with those of the modules that are needed to run or to explain it."""
    found = dict(EXPERIMENTS)
    for name, module in ELSEWHERE.items():
        if wanted == "list":
            found[name] = None
        elif wanted == name or wanted not in found and wanted not in ELSEWHERE:
            found.update(__import__(module).EXPERIMENTS)
    return found


if __name__ == "__main__":
    sys.exit(main(experiments_for("".join(sys.argv[1:2])), sys.argv[1:]))
