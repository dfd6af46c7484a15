/* SPDX-License-Identifier: MIT */
/* Made-up events for tests of the timeline. Times are in microseconds. */
#ifndef TIMELINE_SUPPORT_H
#define TIMELINE_SUPPORT_H

#include <stdint.h>

#include "probe/timeline.h"

enum { MAIN = 100, OTHER = 101, THIRD = 102, INTERVAL = 5000 };

extern struct probe_timeline *timeline; /* that events go to */

/* A new one. */
void begin(void);

uint64_t at(double us);
void send(struct probe_event e, double us);
void on(double us, int tid);
void off(double us, int tid);
void preempt(double us, int tid);
void take(double us, int tid);
void sample(double us, int holder);
void look_lock(double us, int tid, uint32_t stack);
void look_call(double us, int tid, uint64_t call);
void look_runs(double us, int tid, uint32_t stack);
void exact(double us, int tid, enum probe_kind kind);
void name(double us, int tid, const char *text);

/* One turn of a countdown of two threads: `from` has the lock at us, and has lost it to `to`
 * (which went to wait at us, too) 5 ms later. The next turn begins 5070 us after it. */
enum { TURN = 5070 };
void turn(double us, int from, int to);

/* A thread (OTHER) that needs the lock for 50 us behind one (MAIN) that counts, 50 times, a period
 * of 10 ms each; `looks`: with samples. */
void convoy(bool looks);

#endif
