# SPDX-License-Identifier: MIT
"""Warm-up is left out of the figures, kept in the record, and said."""

from harness import check, check_eq, check_in, test


def samples(*values):
    return "\\n".join("sample yield_ns ns %g" % v for v in values)


def result_of(run):
    return [r for r in run["results"] if r["metric"] == "yield_ns"][0]


@test
def warmup_is_left_out_and_said(place):
    place.subject("heddle", {"switch": samples(90, 60, 30, 30, 31, 32)})
    r, run = place.lab_json("switch")
    check_eq(r.status, 0, repr(r))
    found = result_of(run)
    check_eq(found["samples"], [30.5] * 3)
    check_eq(found["processes"][0], [90, 60, 30, 30, 31, 32])
    notes = [n for n in run["notes"] if n["key"] == "warmup"]
    check_eq(len(notes), 1, notes)
    check_eq((notes[0]["experiment"], notes[0]["subject"]), ("switch", "heddle"))
    check_in("yield_ns: the first 2 of 6 samples", notes[0]["text"])
    check("settled" not in notes[0]["text"], notes)


@test
def steady_samples_are_all_kept(place):
    place.subject("heddle", {"switch": samples(30, 32, 31, 30, 33)})
    _, run = place.lab_json("switch")
    check_eq(result_of(run)["samples"], [31] * 3)
    check(not [n for n in run["notes"] if n["key"] == "warmup"])


@test
def what_is_no_time_has_no_warmup(place):
    place.subject("heddle", {"capacity": "\\n".join(
        ["sample total_ms ms 5"] + ["sample bytes_per_thread bytes %d" % v
                                    for v in (900, 400, 300, 300, 300, 300)])})
    _, run = place.lab_json("capacity")
    found = [r for r in run["results"] if r["metric"] == "bytes_per_thread"][0]
    check_eq(found["samples"], [300] * 3)
    check(not [n for n in run["notes"] if n["key"] == "warmup"])


@test
def samples_that_never_settle_are_said(place):
    place.subject("heddle", {"switch": samples(90, 80, 70, 60, 50, 40)})
    _, run = place.lab_json("switch")
    notes = [n["text"] for n in run["notes"] if n["key"] == "warmup"]
    check_in("may not have settled", notes[0])
