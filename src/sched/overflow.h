/* SPDX-License-Identifier: MIT */
/* A thread that runs over the end of its stack dies with one line that says so. */
#ifndef HD__SCHED_OVERFLOW_H
#define HD__SCHED_OVERFLOW_H

int hd__overflow_init(void);
void hd__overflow_finish(void);

#endif
