/* SPDX-License-Identifier: MIT */
/* Alarms: a timer of each carrier's own, by which it interrupts itself when the slice of what it
 * runs is over, or the first of its worker's deadlines comes; the idea is in alarm.c.
 *
 * All is called by the carrier that runs w, inside or in the signal's handler. */
#ifndef HD__SCHED_ALARM_H
#define HD__SCHED_ALARM_H

#include "sched/worker.h"

/* The monitor looks so much later at the deadlines that carriers mind themselves. */
enum { HD__ALARM_TRUST_NS = 4 * 1000 * 1000 };

/* So much after a deadline; one at the end of all time stays as it is: what is later is past. */
static inline uint64_t hd__alarm_after(uint64_t deadline_ns, uint64_t by_ns) {
    return deadline_ns < HD_FOREVER - by_ns ? deadline_ns + by_ns : deadline_ns;
}

/* w's carrier begins to run it, or another thread on it: t, or what the loop finds (NULL). The
 * deadlines are covered from now on; with `slice`, and if others wait, the slice ends at its length
 * after now_ns. */
void hd__alarm_begin(struct hd__worker *w, const hd_thread *t, uint64_t now_ns, bool slice);

/* One of w's timers comes first at deadline_ns. False: the monitor is to see to it. */
bool hd__alarm_cover(struct hd__worker *w, uint64_t deadline_ns);

/* The alarm of the calling carrier came. False: of one that was set before the present one. */
bool hd__alarm_came(uint64_t now_ns);

/* Because an alarm came, deadlines were looked at from since_ns until now: the next one lets as
 * much time pass, so that what was woken gets to run. */
void hd__alarm_worked(uint64_t since_ns);

/* It came while w's present thread runs. True: that thread's slice is over, and nothing is set any
 * more. in_call: in a call that blocked. */
bool hd__alarm_ends_slice(struct hd__worker *w, uint64_t now_ns, bool in_call);

/* w's thread has had little of its slice, though that may be over by the clock. */
bool hd__alarm_had_little(struct hd__worker *w, uint64_t now_ns);

/* Whatever came was no reason to switch: w's deadlines are covered again. */
void hd__alarm_stay(struct hd__worker *w);

/* It is over, but the thread could not be preempted: soon again. */
void hd__alarm_again(struct hd__worker *w, uint64_t now_ns);

/* It is over, but nobody waits: the monitor is told, which listens from now on. */
void hd__alarm_rest(struct hd__worker *w);

/* For the monitor: w's carrier itself ends the slice, of slice_ns, of what runs there. */
bool hd__alarm_minds_slice(struct hd__worker *w, uint64_t now_ns, uint64_t slice_ns);
/* It itself looks at its timers by that time; HD_FOREVER: it does not. */
uint64_t hd__alarm_when(struct hd__worker *w, uint64_t now_ns);

#endif
