# SPDX-License-Identifier: MIT
"""Who is run, how often, in which order, and for how long."""

import os

from harness import ANSWERS, check, check_eq, check_in, test


def crew(place):
    for name in ("heddle", "pthread", "boost", "tbb"):
        place.subject(name, {"lifecycle": ANSWERS["lifecycle"]})


def order(place):
    return [call[0] for call in place.calls()]


@test
def subjects_take_turns_in_an_order_that_is_reversed(place):
    crew(place)
    r = place.lab("lifecycle", "--repeat", "4")
    check_eq(r.status, 0, repr(r))
    ran = order(place)
    check_eq(len(ran), 16)
    for pair in (ran[0:8], ran[8:16]):
        check_eq(sorted(pair[:4]), ["boost", "heddle", "pthread", "tbb"])
        check_eq(pair[:4], pair[:3:-1], "the second round is not the first in reverse")


@test
def the_seed_makes_the_order(place):
    crew(place)
    orders = set()
    for seed in ("7", "7", "8", "9", "10"):
        place.lab("lifecycle", "--repeat", "6", "--seed", seed)
        orders.add((seed, " ".join(order(place))))
        os.unlink(place.log_path)
    check_eq(len([o for o in orders if o[0] == "7"]), 1, "the same seed, another order")
    check(len(set(o[1] for o in orders)) > 1, "all seeds make the same order")


@test
def every_process_is_one_observation(place):
    count = place.path("count")
    body = ('!n=$(cat %s 2>/dev/null || echo 0); n=$((n + 1)); echo $n > %s; '
            'for s in 2 1 9; do echo sample total_ms ms $((n * 10 + s)); done' % (count, count))
    place.subject("heddle", {"lifecycle": body})
    r, run = place.lab_json("lifecycle", "--repeat", "7")
    check_eq(r.status, 0, repr(r))
    result = run["results"][0]
    check_eq(result["n"], 7)
    check_eq(result["samples"], [10 * n + 2 for n in range(1, 8)])
    check_eq(result["processes"][0], [12, 11, 19])
    check_eq((result["median"], result["min"], result["max"]), (42, 12, 72))
    check_eq(result["ci95"], [12, 72])  # seven values: the extremes


@test
def the_bare_switch_is_measured_beside(place):
    place.subject("heddle")
    place.subject("pthread", {"switch": "sample yield_ns ns 1500"})
    r, run = place.lab_json("switch", "spawn", "--repeat", "3")
    check_eq(r.status, 0, repr(r))
    found = {(x["experiment"], x["subject"], x["metric"]): x for x in run["results"]}
    check_eq(found["switch", "heddle", "yield_ns"]["bare_ratio"], 10)
    check_eq(found["switch", "pthread", "yield_ns"]["bare_ratio"], 500)
    check_eq(found["spawn", "heddle", "batch_ns"]["bare_ratio"], 15)
    check_eq(found["switch", "bare", "bare_switch_ns"]["n"], 3)
    check_eq(found["switch", "bare", "bare_switch_ns"]["bare_ratio"], None)


@test
def subjects_are_asked_only_for_what_they_can(place):
    place.subject("heddle", {"lifecycle": ANSWERS["lifecycle"]})
    place.subject("pthread", {"idle": ANSWERS["idle"]})
    r = place.lab("lifecycle", "idle", "--repeat", "1")
    check_eq(r.status, 0, repr(r))
    check_eq([c[:2] for c in place.calls()], [["heddle", "lifecycle"], ["pthread", "idle"]])


@test
def an_experiment_that_nobody_can_do_is_told(place):
    place.subject("heddle", {"lifecycle": ANSWERS["lifecycle"]})
    r = place.lab("lifecycle", "idle")
    check_eq(r.status, 3, repr(r))
    check_in("idle: none of the chosen subjects can do it", r.err)
    check_in("6.00 ms", r.out)


@test
def subjects_are_chosen_by_name_list_and_pattern(place):
    crew(place)
    for lists, expected in ((["heddle"], {"heddle"}),
                            (["heddle,tbb"], {"heddle", "tbb"}),
                            (["tbb", "heddle"], {"heddle", "tbb"}),
                            (["*b*"], {"boost", "tbb"}),
                            (["heddle,*b*,tbb"], {"heddle", "tbb", "boost"})):
        args = ["lifecycle", "--repeat", "1"]
        for part in lists:
            args += ["--subject", part]
        r = place.lab(*args)
        check_eq(r.status, 0, repr(r))
        check_eq(set(order(place)), expected, repr(lists))
        os.unlink(place.log_path)


@test
def the_budget_ends_the_rounds(place):
    place.subject("heddle", {"lifecycle": "!sleep 0.4; echo sample total_ms ms 5"})
    r, run = place.lab_json("lifecycle", "--repeat", "50", "--budget", "2")
    check_eq(r.status, 0, repr(r))
    check(r.seconds < 5, "took %.1f s" % r.seconds)
    check(run["out_of_time"] and 2 <= run["results"][0]["n"] <= 5, repr(r))


@test
def what_the_budget_left_out_is_told(place):
    place.subject("heddle", {"lifecycle": "!sleep 20; echo sample total_ms ms 5",
                             "idle": ANSWERS["idle"]})
    r, run = place.lab_json("lifecycle", "idle", "--budget", "2")
    check_eq(r.status, 3, repr(r))
    check(r.seconds < 10, "took %.1f s" % r.seconds)
    check_in("the time budget of 2 s", r.err)
    reasons = {x["experiment"]: x["reason"] for x in run["failures"]}
    check_in("the time budget of 2 s ended while it ran", reasons["lifecycle"])
    check_in("not measured: the time budget of 2 s was spent", reasons["idle"])


@test
def quick_does_the_whole_tour(place):
    for name in ("heddle", "pthread"):
        place.subject(name)
    r = place.lab("--quick", "--quiet")  # on a loaded machine there would be progress to tell
    check_eq(r.status, 0, repr(r))
    check_eq(r.err, "")
    for experiment in ("switch", "spawn", "lifecycle", "wake", "capacity", "forkjoin"):
        check_in("\n%s: " % experiment, r.out)
        check(len([c for c in place.calls() if c[:2] == ["heddle", experiment]]) >= 3)
