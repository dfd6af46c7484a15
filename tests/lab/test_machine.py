# SPDX-License-Identifier: MIT
"""heddle machine: facts, what they mean, and the noise of a neighbour."""

import json
import os
import subprocess
import sys

from harness import alone, check, check_eq, check_in

LEVELS = ["disturbs", "a little", "unknown", "fine"]


def machine(place, *args):
    r = place.run("machine", "--json", *args)
    try:
        return r, json.loads(r.out)
    except ValueError:
        raise AssertionError("not JSON: %r" % r)


@alone
def machine_says_facts_and_what_they_mean(place):
    r, found = machine(place, "--seconds", "0.02")
    check_eq(r.status, 0, repr(r))
    check_eq(found["schema"], 1)
    facts = found["machine"]
    check(facts["cpus"] >= 1 and facts["kernel"].startswith("Linux "), facts)
    check(facts["noise_cpus"] == facts["cpus"], facts)
    check(0 <= facts["noise_worst_percent"] <= 100, facts)
    check(facts["clock_ns"] > 0, facts)
    said = found["disturbances"]
    levels = [LEVELS.index(d["level"]) for d in said]
    check_eq(levels, sorted(levels))
    names = [d["fact"] for d in said]
    for name in ("noise", "speed", "governor", "cgroup_cpus", "clocksource"):
        check_in(name, names)
    check(all(d["effect"] and d["value"] for d in said))


@alone
def machine_text_is_narrow(place):
    r = place.run("machine", "--seconds", "0.01")
    check_eq(r.status, 0, repr(r))
    check_in("What would disturb a measurement:", r.out)
    for line in r.out.splitlines():
        check(len(line) <= 80, "too wide: %r" % line)


@alone
def a_neighbour_is_heard(place):
    """One busy process for each CPU takes half of the time, more or less."""
    cpus = os.sched_getaffinity(0)
    spin = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\n" \
           "print('up')\nsys.stdout.flush()\nwhile True:\n    pass\n"
    busy = [subprocess.Popen([sys.executable, "-c", spin, str(cpu)], stdout=subprocess.PIPE)
            for cpu in cpus]
    try:
        for p in busy:
            p.stdout.readline()
        r, found = machine(place, "--seconds", "0.5")
    finally:
        for p in busy:
            p.kill()
            p.wait()
            p.stdout.close()
    check(found["machine"]["noise_worst_percent"] > 5, repr(r))
    check_eq([d["level"] for d in found["disturbances"] if d["fact"] == "noise"], ["disturbs"])


@alone
def strict_follows_what_is_said(place):
    r, found = machine(place, "--strict", "--seconds", "0.01")
    disturbed = any(d["level"] == "disturbs" for d in found["disturbances"])
    check_eq(r.status, 1 if disturbed else 0)


@alone
def wrong_options_of_machine_are_refused(place):
    for args, part in ((["--seconds", "0"], "is not a number of seconds"),
                       (["--seconds", "x"], "'x' is not"), (["--fast"], "unknown option"),
                       (["now"], "unexpected 'now'")):
        r = place.run("machine", *args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check_in(part, r.err)


@alone
def a_run_keeps_the_machine(place):
    place.subject("heddle")
    _, run = place.lab_json("switch")
    for key in ("noise_lost_percent", "clock_ns", "hardware_counters", "cpus"):
        check_in(key, run["machine"])
