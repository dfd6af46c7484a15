/* SPDX-License-Identifier: MIT */
/* Who runs at the moment, for those who consider to wait without parking. All of it are hints: what
 * was seen may be over when the caller reads the answer. Inside. */
#ifndef HD__SCHED_LOOK_H
#define HD__SCHED_LOOK_H

#include "sched/worker.h"

/* The number by which the calling party is told from all others, in 55 bits: a thread's own; a
 * foreign kernel thread gets one when it first asks. */
#define HD__TOKEN_FOREIGN (UINT64_C(1) << 54)
#define HD__TOKEN_ENDED (HD__TOKEN_NONE - 1) /* one that ends, and has lost its number */
uint64_t hd__look_token(void);

/* For messages: "thread 5 'name'", the name of the caller alone, or "foreign kernel thread 5
 * 'name'": what the kernel called it when it got its number, if that is known. Returns text. */
enum { HD__LOOK_TEXT = 80 };
const char *hd__look_text(char text[HD__LOOK_TEXT], uint64_t token);

/* The worker that runs the thread of this number; NULL when none does, or nobody can know (foreign
 * ones). The caller is a thread, or has called hd__runtime_enter() and found the runtime on. */
struct hd__worker *hd__look_runner(uint64_t token);

/* Whether w still does. */
bool hd__look_runs(struct hd__worker *w, uint64_t token);

/* Whether the caller keeps nobody from running by staying on its worker, as far as one can see. */
bool hd__look_alone(void);

#endif
