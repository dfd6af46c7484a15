# SPDX-License-Identifier: MIT
"""Subjects that crash, hang, talk nonsense: a clear reason, and the other results are kept."""

import os
import signal
import time

from harness import ANSWERS, alive, check, check_eq, check_in, soon_dead, test, wait_for

GOOD = {"lifecycle": ANSWERS["lifecycle"]}


def fails_with(place, answer, part, **kinds):
    """A subject "bad" that answers so beside a good one; what is on record of its failure."""
    place.subject("heddle", GOOD)
    place.subject("bad", {"lifecycle": answer})
    args = kinds.pop("args", [])
    r, run = place.lab_json("lifecycle", *args, **kinds)
    check_eq(r.status, 3, repr(r))
    check_in(part, r.err)
    check_in("lifecycle: bad: ", r.err)
    check_eq([(x["experiment"], x["subject"]) for x in run["failures"]], [("lifecycle", "bad")])
    check_in(part, run["failures"][0]["reason"])
    good = [x for x in run["results"] if x["subject"] == "heddle"]
    check_eq(len(good), 5, "the other results were not kept")
    check(all(x["n"] == 3 for x in good))
    return r, run


@test
def a_crash_is_told_by_its_signal(place):
    r, run = fails_with(place, "!echo sample total_ms ms 1; kill -SEGV $$",
                        "crashed: SIGSEGV (Segmentation fault)")
    check_eq([x for x in run["results"] if x["subject"] == "bad"], [], "half a process counts")
    fails_with(place, "!echo last words >&2; kill -ABRT $$",
               "crashed: SIGABRT (Aborted): last words")


@test
def a_failed_subject_is_not_tried_again(place):
    fails_with(place, "!kill -SEGV $$", "SIGSEGV")
    check_eq(len([c for c in place.calls() if c[0] == "bad"]), 1)


@test
def a_failure_after_good_processes_keeps_them(place):
    flag = place.path("flag")
    place.subject("heddle", {"lifecycle": "!echo sample total_ms ms 5; test -e %s && exit 1; "
                                          ": > %s" % (flag, flag)})
    r, run = place.lab_json("lifecycle", "--repeat", "5")
    check_eq(r.status, 3, repr(r))
    check_eq([x["n"] for x in run["results"]], [1])
    check_eq(run["results"][0]["ci95"], [None, None])


@test
def a_hang_is_killed_with_its_children(place):
    mark = "4%07d" % os.getpid()
    r, run = fails_with(place, "!trap '' TERM; sleep %s & sleep %s" % (mark, mark),
                        "did not end within 0.7 s and was killed", args=["--timeout", "0.7"])
    check(r.seconds < 10, "took %.1f s" % r.seconds)
    check(soon_dead(mark), "children are left: %s" % alive(mark))


@test
def what_a_subject_leaves_running_is_killed(place):
    mark = "5%07d" % os.getpid()
    place.subject("heddle", {"lifecycle": "!sleep %s & echo sample total_ms ms 5" % mark})
    r = place.lab("lifecycle")
    check_eq(r.status, 0, repr(r))
    check(r.seconds < 10, "waited for a grandchild")
    check(soon_dead(mark), "children are left: %s" % alive(mark))


@test
def a_subject_that_hangs_everywhere_costs_two_timeouts(place):
    hang = "!sleep 30"
    place.subject("heddle", {"lifecycle": hang, "switch": hang, "spawn": hang, "idle": hang})
    r, run = place.lab_json("switch", "spawn", "lifecycle", "idle", "--timeout", "0.5")
    check_eq(r.status, 3, repr(r))
    check(r.seconds < 6, "took %.1f s" % r.seconds)
    check_eq([x["reason"].split(":")[0] for x in run["failures"]][2:], ["not tried"] * 2)


@test
def garbage_is_refused(place):
    for answer, part in (
            ("hello", "line 1: not a line of the protocol: 'hello'"),
            ("sample total_ms ms 5\\nTraceback", "line 2: not a line"),
            ("sample total_ms ms", "a sample needs METRIC UNIT VALUE"),
            ("sample total_ms", "a sample needs METRIC UNIT VALUE"),
            ("sample", "not a line of the protocol"),
            ("sample total_ms ms five", "not a value"),
            ("sample total_ms ms 5 6", "not a value"),
            ("sample total_ms ms nan", "not a value"),
            ("sample total_ms ms inf", "not a value"),
            ("sample total_ms ms -1", "not a value"),
            ("sample total_ms hours 5", "unknown unit"),
            ("sample Total! ms 5", "a sample needs"),
            ("sample total_ms ms 5\\nsample total_ms us 5", "a metric has one unit"),
            ("note x", "a note needs KEY TEXT"),
            ("a\\000b", "a zero byte"),
            ("\\033[31mred", "'?[31mred'"),
            ("", "printed no sample"),
            ("note guard none", "printed no sample"),
            ("!head -c 3000 /dev/urandom", "garbage in its output")):
        r, run = fails_with(place, answer, part)
        check("\033" not in r.err)


@test
def endless_output_is_cut_off(place):
    r, run = fails_with(place, "!yes sample total_ms ms 5", "wrote more than 1048576 bytes")
    check(r.seconds < 10, "took %.1f s" % r.seconds)
    check_eq([x for x in run["results"] if x["subject"] == "bad"], [])


@test
def endless_complaints_are_bounded(place):
    place.subject("heddle", {"lifecycle": "!yes complaint | head -c 30000000 >&2; "
                                          "echo sample total_ms ms 5"})
    r = place.lab("lifecycle", "--quiet")  # on a loaded machine there would be progress to tell
    check_eq(r.status, 0, repr(r)[:300])
    check_eq(r.err, "")


@test
def what_a_subject_cannot_do_is_told_in_its_words(place):
    r, run = fails_with(place, "!echo sample start_ms ms 4; "
                               "echo error no more than 30000 threads; exit 3",
                        "no more than 30000 threads")
    check_eq([(x["metric"], x["n"]) for x in run["results"] if x["subject"] == "bad"],
             [("start_ms", 1)], "what it measured was not kept")
    fails_with(place, "!exit 3", "ended with status 3")
    fails_with(place, "!echo unknown option --threads >&2; exit 2",
               "ended with status 2: unknown option --threads")


@test
def reasons_fit_the_table(place):
    place.subject("heddle", GOOD)
    place.subject("bad", {"lifecycle": "!echo error %s; exit 3" % ("x" * 300 + " y" * 100)})
    r = place.lab("lifecycle")
    check_eq(r.status, 3)
    for line in r.out.splitlines():
        check(len(line) <= 80, repr(line))


@test
def subjects_that_cannot_even_start(place):
    place.subject("heddle", GOOD)
    place.write("libexec/heddle-bench-text", "no program\n", 0o755)
    place.write("libexec/heddle-bench-gone", "#!/no/such/shell\n", 0o755)
    place.write("libexec/heddle-bench-plain", "#!/bin/sh\n", 0o644)
    r, run = place.lab_json("lifecycle", "--subject", "*")
    check_eq(r.status, 3, repr(r))
    reasons = {x["subject"]: x["reason"] for x in run["failures"]}
    check_in("cannot be started: Exec format error", reasons["text"])
    check_in("cannot be started: No such file", reasons["gone"])
    check("plain" not in reasons, "a file that is no program was tried")
    check("heddle" not in reasons)


@test
def subjects_whose_list_is_wrong(place):
    place.subject("heddle", GOOD)
    for name, body, part in (("dies", "!kill -BUS $$", "crashed: SIGBUS"),
                             ("fails", "!exit 7", "ended with status 7"),
                             ("empty", "", "no list of experiments"),
                             ("prose", "I can do anything!", "no list of experiments")):
        place.subject(name, {"list": body, "lifecycle": GOOD["lifecycle"]})
        r, run = place.lab_json("lifecycle")
        check_eq(r.status, 3, repr(r))
        check_eq([x["subject"] for x in run["failures"]], [name])
        check_in(part, run["failures"][0]["reason"])
        check_eq(len([x for x in run["results"] if x["subject"] == "heddle"]), 5)
        os.unlink(place.path("libexec/heddle-bench-" + name))


@test
def an_interrupt_reports_what_was_measured(place):
    mark = "6%07d" % os.getpid()
    for sig, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        place.subject("heddle", GOOD)
        place.subject("slow", {"lifecycle": "!sleep %s" % mark})
        p = place.start("lab", "lifecycle", "--subject", "heddle,slow", "--repeat", "2",
                        "--csv", "out.csv", "--seed", "3")
        wait_for(lambda: alive("sleep\0" + mark))
        p.send_signal(sig)
        out, err = p.communicate(timeout=10)
        check_eq(p.returncode, status, err.decode())
        check_in("Interrupted: this is what was measured", out.decode())
        check(soon_dead(mark), "children are left")
        with open(place.path("out.csv")) as f:
            check_in("experiment,subject", f.read())


def interrupted(place, pauses, at_once):
    """The command's status after signals with these pauses between them, and what it wrote. Nobody
    reads that before the last signal came, or, if it is to end at once, before it ended."""
    mark = "3%07d" % os.getpid()
    place.subject("heddle", {"lifecycle": "!sleep %s" % mark})
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filling = os.write(writer, b"\n" * (1 << 21))
    os.set_blocking(writer, True)
    p = place.start("lab", "lifecycle", "--subject", "heddle", stdout=writer)
    os.close(writer)
    wait_for(lambda: alive("sleep\0" + mark))
    p.send_signal(signal.SIGINT)
    for pause in pauses:
        time.sleep(pause)
        p.send_signal(signal.SIGINT)
    if at_once:
        p.wait(timeout=10)
    with os.fdopen(reader, "rb") as f:
        out = f.read()[filling:]
    p.communicate(timeout=10)
    check(soon_dead(mark), "children are left")
    return p.returncode, out.decode()


@test
def an_interrupt_that_comes_twice_at_once_is_one(place):
    status, out = interrupted(place, [0.01, 0.05], False)
    check_eq(status, 130)
    check_in("Interrupted: this is what was measured", out)


@test
def a_second_interrupt_ends_the_command_at_once(place):
    check_eq(interrupted(place, [0.4], True), (-signal.SIGINT, ""))


@test
def an_interrupted_run_is_marked_and_whole(place):
    mark = "7%07d" % os.getpid()
    place.subject("heddle", {"switch": ANSWERS["switch"], "lifecycle": "!sleep %s" % mark})
    p = place.start("lab", "switch", "lifecycle", "--subject", "heddle", "--json", "out.json")
    wait_for(lambda: alive("sleep\0" + mark))
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=10)
    import json
    with open(place.path("out.json")) as f:
        run = json.load(f)
    check(run["interrupted"])
    check_eq([(x["metric"], x["n"]) for x in run["results"]], [("yield_ns", 1)])
    check_eq(run["failures"], [])


@test
def children_die_with_a_command_that_is_killed(place):
    mark = "8%07d" % os.getpid()
    place.subject("heddle", {"lifecycle": "!exec sleep %s" % mark})
    p = place.start("lab", "lifecycle", "--subject", "heddle")
    wait_for(lambda: alive("sleep\0" + mark))
    p.kill()
    p.communicate(timeout=10)
    check(soon_dead(mark), "children are left")
