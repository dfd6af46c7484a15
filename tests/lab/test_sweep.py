# SPDX-License-Identifier: MIT
"""Parameters with several values."""

from harness import check, check_eq, check_in, test

# Says how many threads it was asked for.
ECHO = """!while [ $# -gt 1 ]; do
[ "$1" = --threads ] && echo "sample %s ms $2"
shift
done"""


def threads_of(call):
    return call[call.index("--threads") + 1]


@test
def every_value_is_measured(place):
    place.subject("heddle", {"lifecycle": ECHO % "total_ms"})
    place.subject("pthread", {"lifecycle": ECHO % "total_ms"})
    r, run = place.lab_json("lifecycle", "--threads", "100,5,20")
    check_eq(r.status, 0, repr(r))
    check_eq([(x["subject"], x["variant"], x["median"]) for x in run["results"]],
             [(s, "threads=%d" % n, n) for n in (100, 5, 20) for s in ("heddle", "pthread")])
    check_eq([x["params"]["threads"] for x in run["results"]], [100, 100, 5, 5, 20, 20])
    check_eq(sorted(threads_of(c) for c in place.calls()), sorted(["100", "5", "20"] * 6))
    r = place.lab("lifecycle", "--threads", "100,5,20")
    lines = [line.split() for line in r.out.splitlines()]
    check(["total", "heddle", "pthread"] in lines, r.out)
    check(["threads=20", "20.0", "ms", "20.0", "ms"] in lines, r.out)


@test
def every_combination_is_measured(place):
    place.subject("heddle", {"capacity": ECHO % "total_ms"})
    r, run = place.lab_json("capacity", "--threads", "5,20", "--workers", "1,2,1")
    check_eq(r.status, 0, repr(r))
    check_eq([x["variant"] for x in run["results"]],
             ["threads=5,workers=1", "threads=5,workers=2",
              "threads=20,workers=1", "threads=20,workers=2"])
    r = place.lab("capacity", "--threads", "5,20", "--workers", "1,2")
    check_in("threads=20,workers=2", r.out)


@test
def one_value_is_no_sweep(place):
    place.subject("heddle", {"lifecycle": ECHO % "total_ms"})
    r, run = place.lab_json("lifecycle", "--threads", "7,7")
    check_eq([(x["variant"], x["median"]) for x in run["results"]], [("", 7)])


@test
def a_point_that_fails_is_told_apart(place):
    place.subject("heddle", {"lifecycle": """!case "$*" in
*"--threads 20 "*) echo "error no room"; exit 3 ;;
*) echo "sample total_ms ms 1" ;;
esac"""})
    r, run = place.lab_json("lifecycle", "--threads", "5,20,30")
    check_eq(r.status, 3, repr(r))
    check_eq([x["variant"] for x in run["results"]], ["threads=5", "threads=30"])
    check_eq([(x["variant"], x["reason"]) for x in run["failures"]], [("threads=20", "no room")])
    r = place.lab("lifecycle", "--threads", "5,20")
    check_in("no room", r.out)


@test
def bad_lists_are_refused(place):
    place.subject("heddle")
    for bad in ("5,", ",", "5,,6", "5,x", "5,0", "5;6"):
        r = place.lab("lifecycle", "--threads", bad)
        check_eq(r.status, 2, bad)
        check_in("--threads: ", r.err)
    r = place.lab("switch", "--threads", "2,1")
    check_eq(r.status, 2)
    check_in("needs at least 2", r.err)
    check_eq(place.calls(), [])


@test
def variants_are_swept_each(place):
    answer = "sample fib_ms ms 1\\nsample skynet_ms ms 1"
    place.subject("heddle", {"forkjoin": answer})
    r, run = place.lab_json("forkjoin", "--workers", "1,2", "--n", "5")
    check_eq(sorted(set(x["variant"] for x in run["results"])),
             ["fib workers=1", "fib workers=2", "skynet workers=1", "skynet workers=2"])
    r = place.lab("forkjoin", "--workers", "1,2", "--n", "5")
    check_in(" fib\n", r.out)


@test
def an_option_leaves_out_what_it_was_not_meant_for(place):
    answer = "sample total_ms ms 1"
    place.subject("heddle", {"lifecycle": answer, "lifecycle-as": answer})

    def variants(*args):
        run = place.lab_json("lifecycle", "--repeat", "1", *args)[1]
        return [x["variant"] for x in run["results"]]

    every = variants()
    for one in ("", "pool", "pinned", "priority", "count threads=10"):
        check_in(one, every)
    check_eq(variants("--samples", "2"), every)
    check_eq(variants("--threads", "5"), [""])
    check_eq(variants("--pool", "5,6"), ["pool pool=5", "pool pool=6"])
    check_eq(variants("--pool", "5", "--threads", "7"), ["pool"])
    check(all("--threads 7" in " ".join(c) for c in place.calls()[-1:]))
    check_eq(variants("--priority", "high"), ["priority"])
    r = place.lab("lifecycle", "--priority", "strange")
    check_eq(r.status, 2)
    check_in("is not one of: default low high", r.err)


@test
def what_the_system_said_is_in_the_table(place):
    place.subject("heddle", {"limits": "sample limit_threads count 41\\n"
                                       "note said_no thread 42: no room left"})
    r = place.lab("limits")
    check_eq(r.status, 0, repr(r))
    check_in("thread 42: no room left", r.out)
