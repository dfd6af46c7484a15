# SPDX-License-Identifier: MIT
"""heddle lab --self-check: what it finds is what its subject does."""

import json

from harness import check, check_eq, check_in, test

EQUAL = {"planted": "!echo sample work_us us 80"}
PLANTED = {"planted": "!echo sample work_us us $((80000 + 80 * $5))"}


def self_check(place, found):
    """A run of it, and its checks. The simulations take a second: runs are few, and asked much."""
    r = place.run("lab", "--self-check", "--repeat", "2", "--json", found)
    try:
        text = r.out
        if found != "-":
            with open(place.path(found)) as f:
                text = f.read()
        checks = json.loads(text)["self_check"]
    except (OSError, ValueError) as e:
        raise AssertionError("%s: %r" % (e, r))
    return r, {(c["truth"], c["measured"], c["as_the_lab_does"]): c for c in checks
               if "layouts" not in c["what"] or c["measured"]}


@test
def planted_work_is_found(place):
    place.subject("pthread", PLANTED)
    r, checks = self_check(place, "-")
    check_eq(r.status, 0, repr(r))
    check_eq(len(place.calls()), 2 * 2 * 2 * 20)
    same, slower = checks["same", True, True], checks["slower", True, True]
    check_eq((same["comparisons"], same["alarms"], same["same"]), (2, 0, 2))
    check_eq((slower["comparisons"], slower["slower"]), (2, 2))
    check(same["passed"] and slower["passed"])
    simulated = checks["same", False, True]
    check_eq(simulated["comparisons"], 200)
    check(simulated["passed"] and simulated["alarms"] > 0)
    check(checks["slower", False, True]["slower"] >= 190)
    extra = [call[call.index("--extra-permille") + 1] for call in place.calls()]
    check_eq(extra[:80], ["0"] * 80)
    check_eq(extra[80:88], ["0", "20", "20", "0", "0", "20", "20", "0"], "sides take turns")


@test
def work_that_is_not_there_is_missed(place):
    place.subject("heddle", EQUAL)
    r, checks = self_check(place, "found.json")
    check_eq(r.status, 1, repr(r))
    check(not checks["slower", True, True]["passed"])
    check_in("slower: 0 of 2  WRONG", r.out)


@test
def what_cannot_be_measured_is_said(place):
    r = place.run("lab", "--self-check", "--repeat", "1")
    check_eq(r.status, 3, repr(r))
    check_in("there is no bench program", r.out)
    check_in("Simulated:", r.out)
    # What the first process says ends the comparison of equals, what the second says the other.
    for answers, reasons in ((("exit 7", "echo sample work_us"), ("status 7", "garbage")),
                             (("echo note a b", "echo error no clock"), ("no sample", "no clock"))):
        place.subject("pthread", {"planted": "!if rm again; then %s; else >again; %s; fi" %
                                  (answers[1], answers[0])})
        r = place.run("lab", "--self-check", "--repeat", "1")
        check_eq(r.status, 3, repr(r))
        same, slower = r.out.split("Measured here")[1].split("not measured:")[1:]
        check_in(reasons[0], same)
        check_in(reasons[1], slower)


@test
def self_check_takes_few_options(place):
    for args in (["switch"], ["--csv", "x"], ["--html", "x"], ["--budget", "3"],
                 ["--subject", "heddle"], ["--threads", "2"]):
        r = place.run("lab", "--self-check", *args)
        check_eq(r.status, 2, "%s: %r" % (args, r))
        check_in("--self-check goes with", r.err)
