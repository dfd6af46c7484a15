/* SPDX-License-Identifier: MIT */
/* Starting and stopping the runtime; the thin public entry points are in api/. */
#ifndef HD__SCHED_RUNTIME_H
#define HD__SCHED_RUNTIME_H

#include <heddle/runtime.h>

/* cfg has been validated and is complete: no member is 0 that has another default. follow: nobody
 * has said how many workers there shall be, and their number follows what the process may use. */
int hd__runtime_run(const struct hd_config *cfg, bool follow, int (*fn)(void *), void *arg);
int hd__runtime_start(const struct hd_config *cfg, bool follow);
int hd__runtime_stop(void);

#endif
